//! Metrics as Prometheus reads them.

use std::fmt::Write as _;

/// What a metric does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name; that of a counter ends with `_total`.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// What it counts or measures.
    pub help: String,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// One value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What tells it from the others of its metric.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl Metric {
    /// A metric without values.
    pub fn new(name: impl Into<String>, kind: Kind, help: impl Into<String>) -> Self {
        Self { name: name.into(), kind, help: help.into(), samples: Vec::new() }
    }

    /// A metric with one value.
    pub fn single(
        name: impl Into<String>,
        kind: Kind,
        help: impl Into<String>,
        value: f64,
    ) -> Self {
        Self::new(name, kind, help).with([], value)
    }

    /// The same with one more value.
    #[must_use]
    pub fn with<const N: usize>(mut self, labels: [(&'static str, String); N], value: f64) -> Self {
        self.samples.push(Sample { labels: labels.into(), value });
        self
    }
}

/// The types of both forms.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// OpenMetrics 1.0.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All of them, in the older form, which everyone reads.
pub fn text(metrics: &[Metric]) -> String {
    let mut out = String::new();
    metrics.iter().for_each(|metric| write(&mut out, metric, &metric.name));
    out
}

/// All of them, as OpenMetrics has it.
pub fn open_metrics(metrics: &[Metric]) -> String {
    let mut out = String::new();
    for metric in metrics {
        write(&mut out, metric, metric.name.strip_suffix("_total").unwrap_or(&metric.name));
    }
    out.push_str("# EOF\n");
    out
}

/// Writing to a string does not fail.
fn write(out: &mut String, metric: &Metric, family: &str) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    let _ = writeln!(out, "# HELP {family} {}", escaped(&metric.help, false));
    let _ = writeln!(out, "# TYPE {family} {kind}");
    for sample in &metric.samples {
        out.push_str(&metric.name);
        for (number, (label, value)) in sample.labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(out, "{before}{label}=\"{}\"", escaped(value, true));
        }
        if !sample.labels.is_empty() {
            out.push('}');
        }
        let _ = writeln!(out, " {}", sample.value);
    }
}

fn escaped(text: &str, in_quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\\\r");
    if in_quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let metrics = [
            Metric::new("things_total", Kind::Counter, "Things,\nby kind.")
                .with([("kind", "a\"b\\c\nd".into())], 3.0)
                .with([("kind", "e".into()), ("of", "f".into())], 18_446_744_073_709_551_615.0),
            Metric::single("load", Kind::Gauge, "Load.", 0.25),
        ];
        let expected = "# HELP things_total Things,\\nby kind.\n# TYPE things_total counter\n\
             things_total{kind=\"a\\\"b\\\\c\\nd\"} 3\n\
             things_total{kind=\"e\",of=\"f\"} 18446744073709552000\n\
             # HELP load Load.\n# TYPE load gauge\nload 0.25\n";
        assert_eq!(text(&metrics), expected);
        let open = expected.replace("HELP things_total", "HELP things");
        let open = open.replace("TYPE things_total", "TYPE things");
        assert_eq!(open_metrics(&metrics), format!("{open}# EOF\n"));
    }
}
