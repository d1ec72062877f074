//! Medians and ranges of rounds: a table, or JSON.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::Output;

/// What one round measured: name and value, always the same names in a case.
pub(super) struct Round(pub(super) Vec<(&'static str, f64)>);

impl Round {
    /// Its rate, where it has one.
    pub(super) fn rate(&self) -> Option<f64> {
        self.0.iter().find(|(name, _)| *name == "rate_per_s").map(|(_, rate)| *rate)
    }
}

/// Median and range.
#[derive(Clone, Copy)]
pub(super) struct Series {
    pub(super) median: f64,
    min: f64,
    max: f64,
}

/// Everything that was measured.
pub(super) struct Report {
    rounds: u32,
    /// What the host itself needs, by name.
    floor: Vec<(&'static str, Series)>,
    results: Vec<Outcome>,
}

/// What was measured: names and values, always the same names in a report.
pub(super) struct Case(Vec<(&'static str, String)>);

/// The rounds of one case.
struct Outcome {
    case: Case,
    measures: Vec<(&'static str, Series)>,
    /// What limited them, where that is not what was to be measured.
    limited_by: Option<&'static str>,
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
    Duration::from_micros(us).as_secs_f64() * 1e3
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

impl Case {
    pub(super) fn new(what: impl Into<Vec<(&'static str, String)>>) -> Self {
        Self(what.into())
    }

    /// Plays so many rounds, which are numbered from 1. Those that take longer than `limit` have
    /// failed, and with one of them all.
    pub(super) async fn play(
        &self,
        count: u32,
        limit: Duration,
        mut round: impl AsyncFnMut(u32) -> anyhow::Result<Round>,
    ) -> anyhow::Result<Vec<Round>> {
        let mut rounds = Vec::new();
        for number in 1..=count {
            let round = within(limit, round(number)).await;
            let round = round.with_context(|| format!("round {number} of {self} failed"))?;
            eprintln!("{self}, round {number}: {round}");
            rounds.push(round);
        }
        Ok(rounds)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let blank = if index > 0 { " " } else { "" };
            write!(f, "{blank}{name}={value}")?;
        }
        Ok(())
    }
}

/// What comes of this, which has failed where it takes longer.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| bail!("it takes too long"))
}

impl Report {
    pub(super) fn new(rounds: u32, floor: Vec<(&'static str, Series)>) -> Self {
        Self { rounds, floor, results: Vec::new() }
    }

    /// Adds the rounds of a case; `limited_by` says what else than the subject they depended on.
    pub(super) fn add(&mut self, case: Case, rounds: &[Round], limited_by: Option<&'static str>) {
        let names = rounds.first().map_or(&[][..], |round| &round.0);
        let measures = names.iter().enumerate().filter_map(|(row, (name, _))| {
            let values = rounds.iter().filter_map(|round| Some(round.0.get(row)?.1));
            Some((*name, Series::of(values.collect())?))
        });
        self.results.push(Outcome { case, measures: measures.collect(), limited_by });
    }

    pub(super) fn print(&self, output: &mut dyn Output) -> anyhow::Result<()> {
        if output.is_json() {
            let results: Vec<Value> = self.results.iter().map(Outcome::json).collect();
            let floor = object(&self.floor);
            let report = json!({ "rounds": self.rounds, "floor": floor, "results": results });
            return output.json(&report);
        }
        let Some(first) = self.results.first() else { return Ok(()) };
        let names = first.case.0.iter().map(|(name, _)| name.to_uppercase());
        let headings: Vec<String> =
            names.chain(["MEASURE", "MEDIAN", "LEAST", "MOST"].map(String::from)).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let floor = self.floor.iter().map(|(name, series)| {
            let mut row = vec![String::new(); first.case.0.len()];
            row[0] = "floor".into();
            row.push((*name).to_owned());
            [row, series.cells().to_vec()].concat()
        });
        let rows = floor.chain(self.results.iter().flat_map(Outcome::rows));
        output.rows(&headings, rows.collect())?;
        for outcome in &self.results {
            if let Some(what) = outcome.limited_by {
                eprintln!("{}: limited by {what}", outcome.case);
            }
        }
        Ok(())
    }
}

fn object(series: &[(&'static str, Series)]) -> Map<String, Value> {
    series.iter().map(|(name, series)| ((*name).to_owned(), series.json())).collect()
}

impl Outcome {
    fn json(&self) -> Value {
        let mut json: Map<String, Value> =
            self.case.0.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json.insert("measures".into(), object(&self.measures).into());
        if let Some(what) = self.limited_by {
            json.insert("limited_by".into(), what.into());
        }
        Value::Object(json)
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.measures.iter().map(|(name, series)| {
            let mut row: Vec<String> = self.case.0.iter().map(|(_, value)| value.clone()).collect();
            row.push((*name).to_owned());
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
