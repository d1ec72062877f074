//! Plots of experiments: lines of means, bars of their confidence intervals, crosses of what is known.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;
use rserpool_sim::experiment::{Metric, Point, Sweep};
use rserpool_sim::statistics::Estimate;

/// The only font that plots have; see `font/README.md`.
const FONT: &[u8] = include_bytes!("font/plot.ttf");
const FAMILY: &str = "sans-serif";
/// Pixels.
const SIZE: (u32, u32) = (800, 500);
const LEGEND_WIDTH: u32 = 170;
/// Colours that also the colour-blind tell from each other (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];

/// Draws a metric of a sweep as SVG and as PNG.
pub(super) fn write(sweep: &Sweep, metric: Metric, dir: &Path) -> anyhow::Result<[PathBuf; 2]> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let font = || register_font(FAMILY, FontStyle::Normal, FONT).is_ok();
    anyhow::ensure!(*REGISTERED.get_or_init(font), "the font of plots is not readable");
    let [svg, png] =
        ["svg", "png"].map(|kind| dir.join(format!("{}-{}.{kind}", sweep.name, metric.name())));
    let context = |path: &Path| format!("file {}", path.display());
    draw(SVGBackend::new(&svg, SIZE).into_drawing_area(), sweep, metric)
        .with_context(|| context(&svg))?;
    let mut pixels = vec![0; 3 * SIZE.0 as usize * SIZE.1 as usize];
    draw(BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area(), sweep, metric)?;
    write_png(&png, &pixels).with_context(|| context(&png))?;
    Ok([svg, png])
}

fn write_png(path: &Path, pixels: &[u8]) -> anyhow::Result<()> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}

fn draw<B: DrawingBackend>(
    area: DrawingArea<B, Shift>,
    sweep: &Sweep,
    metric: Metric,
) -> anyhow::Result<()> {
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| anyhow!("{error}");
    area.fill(&WHITE).map_err(failed)?;
    let (left, legend) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    let mut chart = ChartBuilder::on(&left)
        .caption(&sweep.title, (FAMILY, 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(Scale::of(sweep), heights(sweep, metric))
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc(sweep.axis.label)
        .y_desc(metric.label())
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .label_style((FAMILY, 14))
        .axis_desc_style((FAMILY, 15))
        .draw()
        .map_err(failed)?;
    for (number, series) in sweep.series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        // After all colours, lines are thin.
        let style = colour.stroke_width(if number < COLOURS.len() { 2 } else { 1 });
        let means = series.points.iter().map(|point| (point.x, point.estimate(metric).mean));
        let line = PathElement::new(means.clone().collect::<Vec<_>>(), style);
        chart.draw_series([line]).map_err(failed)?;
        let dots = means.map(|place| Circle::new(place, 3, colour.filled()));
        chart.draw_series(dots).map_err(failed)?;
        let bar = |point: &Point| {
            let Estimate { mean, half_width } = point.estimate(metric);
            let (low, high) = (mean - half_width, mean + half_width);
            ErrorBar::new_vertical(point.x, low.max(0.0), mean, high, colour.filled(), 6)
        };
        chart.draw_series(series.points.iter().map(bar)).map_err(failed)?;
        let known = series.points.iter().filter_map(|point| {
            point.known(metric).map(|known| Cross::new((point.x, known.value), 5, colour))
        });
        chart.draw_series(known).map_err(failed)?;
        let top = 50 + 22 * i32::try_from(number).unwrap_or(0);
        let line = PathElement::new(vec![(0, top), (18, top)], style);
        legend.draw(&line).map_err(failed)?;
        let text = Text::new(series.label.as_str(), (24, top - 7), (FAMILY, 14));
        legend.draw(&text).map_err(failed)?;
    }
    area.present().map_err(failed)
}

/// From the lowest to the highest of what is drawn, and some more.
fn heights(sweep: &Sweep, metric: Metric) -> Range<f64> {
    let points = sweep.series.iter().flat_map(|series| &series.points);
    let ends = points.flat_map(|point| {
        let (estimate, known) = (point.estimate(metric), point.known(metric));
        let known = known.map_or(estimate.mean, |known| known.value);
        [estimate.low(), estimate.high(), known]
    });
    let (low, high) =
        ends.fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it), high.max(it)));
    // Nothing that is shown is ever below 0.
    let (low, high) = (low.max(0.0), high.max(low + 1e-9));
    let margin = (high - low) * 0.05;
    let low = if low < 0.3 * high { 0.0 } else { low - margin };
    low..high + margin
}

/// Where values of what is varied are.
struct Scale {
    logarithmic: bool,
    /// In logarithms where it is logarithmic.
    range: RangedCoordf64,
}

impl Scale {
    fn of(sweep: &Sweep) -> Self {
        let logarithmic = sweep.axis.logarithmic;
        let xs = sweep.series.iter().flat_map(|series| &series.points).map(|point| point.x);
        let xs = xs.map(|x| if logarithmic { x.log10() } else { x });
        let (low, high) = xs.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        let margin = (high - low) * 0.02;
        Self { logarithmic, range: (low - margin..high + margin).into() }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let value = if self.logarithmic { value.log10() } else { *value };
        self.range.map(&value, limit)
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        if !self.logarithmic {
            return self.range.key_points(hint);
        }
        let range = self.range();
        let tens = (-3..12).map(|exponent| 10f64.powi(exponent));
        let values = tens.flat_map(|ten| [ten, 2.0 * ten, 5.0 * ten]);
        values.filter(|value| range.contains(value)).collect()
    }

    fn range(&self) -> Range<f64> {
        let Range { start, end } = self.range.range();
        if self.logarithmic { 10f64.powf(start)..10f64.powf(end) } else { start..end }
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(value: &f64) -> String {
        // What is left of rounding.
        let rounded = (value * 1e6).round() / 1e6;
        if rounded >= 1e5 { format!("{rounded:e}") } else { rounded.to_string() }
    }
}
