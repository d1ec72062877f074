// The dashboard in a real browser, with real servers that are killed and frozen. It fails where
// something is not seen, and leaves pictures. `cargo xtask dashboard` runs it:
//   node dashboard.mjs RSERPOOL CHROMIUM DIRECTORY-FOR-PICTURES
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.DASHBOARD_MODULES + "/");
const { chromium } = require("playwright-core");
const [rserpool, browserPath, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });
const LIMIT = 20000;

const complaints = [], children = [];
function check(holds, what) {
  console.log(`${holds ? "ok  " : "FAIL"} ${what}`);
  if (!holds) complaints.push(what);
}

function start(...args) {
  const child = spawn(rserpool, [...args, "--output", "json"], { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, RUST_LOG: "off", XDG_RUNTIME_DIR: "" } });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => { const next = await lines.next(); if (next.done) throw new Error(`${args[0]} has ended`); return JSON.parse(next.value); };
  return { child, line };
}

async function open(browser, url, options) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 940 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.on("console", (message) => { if (!/Failed to load resource|ERR_/.test(message.text())) check(false, `nothing on the console: ${message.text()}`); });
  page.on("pageerror", (error) => check(false, `no error in the page: ${error}`));
  page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:")) check(false, `nothing from elsewhere: ${request.url()}`); });
  await page.goto(url);
  return page;
}

const picture = (page, name) => page.screenshot({ path: `${pictures}/${name}.png` });
const text = (page, selector) => page.locator(selector).first().textContent();
const shows = (page, selector, words, what) => page.locator(selector).filter({ hasText: words }).first().waitFor({ timeout: LIMIT }).then(() => check(true, what), () => check(false, what));
const narrow = (page, width) => page.evaluate(() => document.documentElement.scrollWidth).then((scroll) => check(scroll <= width, `no sideways scrolling at ${width} px (${scroll})`));

async function tour(browser) {
  const demo = start("demo", "--watch");
  const { dashboard } = await demo.line();
  const press = (key) => demo.child.stdin.write(`${key}\n`);
  for (const key of "ss") press(key);
  const page = await open(browser, dashboard);
  await shows(page, "#headline", "All is well: 5 servers in 1 pool", "all is well, and the page says so");
  await shows(page, "#state", "3 registrars, all agree", "three registrars agree");
  await shows(page, "#live", "live", "the page is live");

  // Whoever watches it, a server that dies turns into a cross.
  await page.evaluate(() => {
    window.times = [];
    new MutationObserver(() => { if (document.querySelector(".element.bad")) window.times.push(Date.now()); }).observe(document.getElementById("pools"), { subtree: true, childList: true, attributes: true });
  });
  const struck = Date.now();
  press("k");
  await shows(page, ".element.bad .word", "gone", "a killed server is a cross with the word gone");
  console.log(`     kill to mark, with the key's way through the demo: ${await page.evaluate(() => window.times[0]) - struck} ms`);
  await shows(page, "#headline", "A server of DemoPool is gone", "the headline says what happened");
  await shows(page, "#detail", /other servers of the pool go on/, "it says that the others go on");
  await shows(page, "#events li.bad p", "left DemoPool", "the list has the sentence");
  await page.waitForTimeout(600);
  await picture(page, "killed");

  press("f");
  await shows(page, "#pools .count", "2 gone", "a frozen server is gone, too");
  press("r");
  await shows(page, "#registrars li.bad, #registrars li.wait", /dead|silent/, "a killed registrar is marked");
  await shows(page, "#events p", /took over \d+ elements/, "its takeover is told");
  await page.waitForTimeout(600);
  await picture(page, "taken-over");

  await page.getByRole("button", { name: "Dark", exact: true }).click();
  await page.waitForTimeout(400);
  await picture(page, "dark");
  const phone = await open(browser, dashboard, { viewport: { width: 320, height: 900 } });
  await shows(phone, "#live", "live", "the page works on a phone");
  await shows(phone, "#pools .element", "alive", "a phone shows the servers");
  await narrow(phone, 320);
  await picture(phone, "phone");
  await phone.getByRole("button", { name: "DemoPool" }).click();
  await shows(phone, "#elements tr", "alive", "a pool opens");
  await narrow(phone, 320);
  await phone.context().close();

  // By keyboard only.
  await page.locator("body").press("j");
  check(await page.evaluate(() => document.activeElement.textContent) === "DemoPool", "j goes to the first pool");
  await page.keyboard.press("Enter");
  await shows(page, "#pool-title", "DemoPool", "Enter opens it");
  await shows(page, "#elements tr", "alive", "its servers are rows");
  await page.waitForTimeout(400);
  await page.keyboard.press("Escape");
  await page.locator("#overview").waitFor({ timeout: LIMIT });
  await page.keyboard.press("/");
  check(await page.evaluate(() => document.activeElement.id) === "find", "/ goes to the search");
  await page.keyboard.press("Escape");

  press("q");
  const count = await demo.line();
  check(count.lost === 0 && count.requests === count.answered, `nothing was lost: ${JSON.stringify(count)}`);
  await shows(page, "#bar", "Not live since", "the page says that it is not live any more");
  await picture(page, "disconnected");
  await page.context().close();
}

async function alone(browser) {
  const registrar = start("registrar", "--asap", "tcp://127.0.0.1:0", "--admin", "http://127.0.0.1:0");
  const serving = await registrar.line();
  const url = `${serving.admin.find((it) => it.startsWith("http:"))}/`;
  const page = await open(browser, url);
  await shows(page, "#headline", "No server is registered yet", "an empty registrar says how a server joins");
  const hostile = "<img src=x onerror=alert(1)>";
  const server = start("serve", "echo", "--pool", hostile, "--listen", "127.0.0.1:0", "--registrar", serving.asap[0]);
  await server.line();
  await shows(page, "#pools h3", hostile, "a name that is markup is text");
  check(await page.locator("main img").count() === 0, "it made nothing in the page");
  await page.getByRole("button", { name: hostile }).click();
  await shows(page, "#elements tr", "alive", "its pool opens");
  // A registrar that hangs, and goes on.
  registrar.child.kill("SIGSTOP");
  await shows(page, "#bar", "Not live since", "a registrar that hangs is seen");
  registrar.child.kill("SIGCONT");
  await page.locator("#bar").waitFor({ state: "hidden", timeout: LIMIT }).then(() => check(true, "and that it goes on"), () => check(false, "and that it goes on"));
  await page.context().close();
  const plain = await browser.newContext({ javaScriptEnabled: false });
  const mute = await plain.newPage();
  await mute.goto(url);
  await shows(mute, "noscript p", "needs JavaScript", "without JavaScript it says so");
}

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
try {
  await tour(browser);
  await alone(browser);
} catch (error) {
  check(false, `${error}`);
} finally {
  await browser.close();
  for (const child of children) { child.kill("SIGCONT"); child.kill("SIGKILL"); }
}
if (complaints.length > 0) { console.log(`${complaints.length} complaints`); process.exit(1); }
