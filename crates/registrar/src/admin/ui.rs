//! The dashboard: three files without any data, which ask `/v1` as everyone does.

use std::sync::Arc;

use rserpool_web::Method;
use rserpool_web::response;
use rserpool_web::route::{Answer, Call, Route};

use super::Site;

/// What the page may do: run its own script, look as its own sheet says, and ask where it came
/// from. Text that would become a script is refused by the browser.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Where its files are.
const PATHS: [&str; 3] = ["/", "/ui/app.js", "/ui/app.css"];

/// A file of the page.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) media: &'static str,
    pub(super) text: &'static str,
}

/// All of them.
pub(super) static FILES: [File; 3] = [
    File {
        path: PATHS[0],
        media: "text/html; charset=utf-8",
        text: include_str!("../ui/index.html"),
    },
    File {
        path: PATHS[1],
        media: "text/javascript; charset=utf-8",
        text: include_str!("../ui/app.js"),
    },
    File { path: PATHS[2], media: "text/css; charset=utf-8", text: include_str!("../ui/app.css") },
];

/// Where they are: for everyone, as they say nothing. The API's list is without them.
pub(super) static ROUTES: [Route<Site>; 3] = [
    file(0, |_, call| answer(&FILES[0], call)),
    file(1, |_, call| answer(&FILES[1], call)),
    file(2, |_, call| answer(&FILES[2], call)),
];

const fn file(number: usize, answer: fn(Arc<Site>, Call) -> Answer) -> Route<Site> {
    let path = PATHS[number];
    Route { method: Method::GET, path, role: None, about: "The dashboard", answer }
}

/// Whether a path is one of the page's.
pub(super) fn has(path: &str) -> bool {
    FILES.iter().any(|file| file.path == path)
}

fn answer(file: &'static File, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        Ok(response::page(file.media, file.text, POLICY))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_names_no_other_place() {
        let octets: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(octets <= 60 * 1024, "{octets} octets");
        for file in &FILES {
            let urls: Vec<&str> = file
                .text
                .match_indices("://")
                .map(|(at, _)| {
                    let before = file.text[..at].rfind(|it: char| !it.is_ascii_alphabetic());
                    file.text[before.map_or(0, |it| it + 1)..]
                        .split(['"', '\'', '`', ' '])
                        .next()
                        .unwrap()
                })
                .collect();
            assert!(urls.iter().all(|url| *url == "http://www.w3.org/2000/svg"), "{urls:?}");
            assert!(!file.text.contains("@import") && !file.text.contains("url("), "{}", file.path);
        }
    }

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        let [html, script, _] = &FILES;
        for inline in ["<style", "style=", "onclick", "onload", "onerror", "javascript:"] {
            assert!(!html.text.contains(inline), "{inline}");
        }
        // Every script is a file, and so is empty in the page.
        assert_eq!(html.text.matches("<script").count(), 1);
        assert!(html.text.contains("<script src=\"/ui/app.js\" defer></script>"));
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "srcdoc",
            "eval(",
            "new Function",
            "createContextualFragment",
        ] {
            assert!(!script.text.contains(sink), "{sink}");
        }
    }

    #[test]
    fn every_file_has_a_route() {
        let routes: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
        let files: Vec<&str> = FILES.iter().map(|file| file.path).collect();
        assert_eq!(routes, files);
        assert!(has("/") && !has("/v1") && !has("/ui/"));
    }
}
