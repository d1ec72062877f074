//! Medians and ranges of rounds: a table, or JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use super::scope::Setting;
use crate::output::{Format, Output};

/// What one round measured: name and value, always the same names in a scenario.
pub(super) struct Round(pub(super) Vec<(&'static str, f64)>);

/// Median and range.
#[derive(Clone, Copy)]
pub(super) struct Series {
    median: f64,
    min: f64,
    max: f64,
}

/// Everything that was measured.
pub(super) struct Report {
    pub(super) rounds: u32,
    /// The floor.
    pub(super) echo: Series,
    pub(super) results: Vec<Outcome>,
}

/// The rounds of one scenario in one setting.
pub(super) struct Outcome {
    scenario: &'static str,
    setting: Setting,
    measures: Vec<(&'static str, Series)>,
}

impl Series {
    /// Of these values; `None` where there are none.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }

    fn json(self) -> Value {
        let round = |value: f64| (value * 1e3).round() / 1e3;
        json!({ "median": round(self.median), "min": round(self.min), "max": round(self.max) })
    }

    fn cells(self) -> [String; 3] {
        [self.median, self.min, self.max].map(|value| format!("{value:.3}"))
    }
}

/// The value below which this part of them is; 0 where there are none.
pub(super) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length is a length"
    )]
    let row = (values.len() as f64 * part) as usize;
    values.get(row.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Microseconds as milliseconds.
pub(super) fn ms(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64() * 1e3
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {value:.1}")?;
        }
        Ok(())
    }
}

impl Report {
    pub(super) fn add(&mut self, scenario: &'static str, setting: Setting, rounds: &[Round]) {
        let names = rounds.first().map_or(&[][..], |round| &round.0);
        let measures = names.iter().enumerate().filter_map(|(row, (name, _))| {
            let values = rounds.iter().filter_map(|round| Some(round.0.get(row)?.1));
            Some((*name, Series::of(values.collect())?))
        });
        self.results.push(Outcome { scenario, setting, measures: measures.collect() });
    }

    pub(super) fn print(&self, output: &mut Output) -> anyhow::Result<()> {
        if output.format() == Format::Json {
            let results: Vec<Value> = self.results.iter().map(Outcome::json).collect();
            let floor = json!({ "tcp_echo_us": self.echo.json() });
            let report = json!({ "rounds": self.rounds, "floor": floor, "results": results });
            return Ok(output.json(&report)?);
        }
        let floor = [vec!["floor".into(), "tcp".into(), String::new(), "tcp_echo_us".into()]];
        let floor = floor.map(|row| [row, self.echo.cells().to_vec()].concat());
        let rows = floor.into_iter().chain(self.results.iter().flat_map(Outcome::rows));
        let headings = ["SCENARIO", "TRANSPORT", "PROFILE", "MEASURE", "MEDIAN", "LEAST", "MOST"];
        Ok(output.rows(&headings, rows)?)
    }
}

impl Outcome {
    fn json(&self) -> Value {
        let measures = self.measures.iter();
        let measures: Map<String, Value> =
            measures.map(|(name, series)| ((*name).to_owned(), series.json())).collect();
        json!({
            "scenario": self.scenario,
            "transport": self.setting.scheme.to_string(),
            "profile": self.setting.profile.label(),
            "measures": measures,
        })
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.measures.iter().map(|(name, series)| {
            let transport = self.setting.scheme.to_string();
            let profile = self.setting.profile.label().to_owned();
            let row = vec![self.scenario.to_owned(), transport, profile, (*name).to_owned()];
            [row, series.cells().to_vec()].concat()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_in_the_middle() {
        let series = Series::of(vec![4.0, 1.0, 2.0, 8.0]).unwrap();
        assert_eq!((series.median, series.min, series.max), (3.0, 1.0, 8.0));
        assert!(Series::of(Vec::new()).is_none());
    }

    #[test]
    fn quantiles_are_values_that_there_are() {
        let values = || (1..=100).map(f64::from).collect::<Vec<_>>();
        assert_eq!(quantile(values(), 0.99), 100.0);
        assert_eq!(quantile(values(), 0.5), 51.0);
        assert_eq!(quantile(Vec::new(), 0.5), 0.0);
    }
}
