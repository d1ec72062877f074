//! `rserpool fractal`: a picture that a pool computes.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rserpool::wire::param::PoolHandle;
use serde_json::json;

use crate::atomic_file::AtomicFile;
use crate::output::{Format, Output};
use crate::runtime;
use crate::sessions::{PoolArg, SessionArgs};
use rserpool_services::Kind;
use rserpool_services::fractal::packet::{Algorithm, ITERATIONS_MAX};

mod local;
mod patch;
mod picture;
mod view;
mod workers;

use view::View;
use workers::Workers;

/// Have a pool compute a picture.
///
/// The picture is of the Mandelbrot set and is computed in tiles, many at once. Servers may come,
/// die and freeze meanwhile: another one goes on where the last one was. The same arguments make
/// the same picture, octet for octet, whichever servers compute it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pool: PoolArg,

    /// The width in pixels.
    #[arg(long, default_value_t = 1280, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    width: u32,

    /// The height in pixels.
    #[arg(long, default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    height: u32,

    /// The file to write, as PNG.
    #[arg(long, value_name = "FILE", default_value = "fractal.png")]
    out: PathBuf,

    /// How many tiles are computed at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    parallel: u16,

    /// The width and height of a tile, in points.
    #[arg(long, value_name = "POINTS", default_value_t = 160, value_parser = clap::value_parser!(u32).range(1..=4096))]
    tile: u32,

    /// The points in each direction of which a pixel is the mean.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    samples: u32,

    /// The point in the middle: real and imaginary part of c in z² − c.
    #[arg(
        long,
        value_name = "NUMBER,NUMBER",
        default_value = "0.743643887037151,-0.13182590420533",
        value_parser = place,
        allow_hyphen_values = true
    )]
    center: [f64; 2],

    /// The width of the part of the plane that is shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0005, value_parser = span)]
    span: f64,

    /// The most iterations of a point.
    #[arg(long, value_name = "NUMBER", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=ITERATIONS_MAX as i64))]
    iterations: u32,

    /// The power of z: 2 is the Mandelbrot set.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    power: u32,

    /// Compute the picture here as well, and compare.
    #[arg(long)]
    verify: bool,

    /// A server that sends no points for this long has failed.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    answer_timeout: Duration,

    #[command(flatten)]
    sessions: SessionArgs,
}

/// Points in all: each takes some octets.
const POINTS_MAX: u64 = 1 << 29;

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let (view, pool) = (self.view()?, self.pool.of(Kind::Fractal)?);
        let mut file = AtomicFile::create(&self.out)?;
        let start = Instant::now();
        let (picture, report) = runtime::block_on(async {
            let user = self.sessions.user()?;
            Workers::new(&self.sessions, user, pool.clone(), self.answer_timeout)
                .compute(&view, self.tile, self.parallel.into())
                .await
        })?;
        let elapsed = start.elapsed();
        let mut to = BufWriter::new(&mut file);
        let written = picture.write(self.samples, &mut to).and_then(|()| Ok(to.flush()?));
        written.with_context(|| format!("cannot write {}", self.out.display()))?;
        drop(to);
        file.finish()?;
        let is_identical = self.verify.then(|| local::compute(&view) == picture);
        self.print(output, &pool, &report, elapsed, is_identical)?;
        if is_identical == Some(false) {
            bail!("the pool computed another picture than this host");
        }
        Ok(())
    }

    fn view(&self) -> anyhow::Result<View> {
        let sides = [self.width, self.height].map(|side| side * self.samples);
        let points = u64::from(sides[0]) * u64::from(sides[1]);
        ensure!(points <= POINTS_MAX, "{points} points are too many; at most {POINTS_MAX}");
        let algorithm = match self.power {
            2 => Algorithm::Mandelbrot,
            n => Algorithm::MandelbrotN(n),
        };
        View::new(sides, self.center, self.span, algorithm, self.iterations)
    }

    fn print(
        &self,
        output: &mut Output,
        pool: &PoolHandle,
        report: &workers::Report,
        elapsed: Duration,
        is_identical: Option<bool>,
    ) -> anyhow::Result<()> {
        let workers::Report { tiles, points, failovers, resumed, servers } = report;
        let file = self.out.display().to_string();
        let elapsed_ms = (elapsed.as_secs_f64() * 1e4).round() / 10.0;
        if output.format() == Format::Json {
            let summary = json!({
                "pool": pool.to_string(),
                "file": file,
                "width": self.width,
                "height": self.height,
                "samples": self.samples,
                "tiles": tiles,
                "points": points,
                "failovers": failovers,
                "resumed": resumed,
                "servers": servers,
                "identical": is_identical,
                "elapsed_ms": elapsed_ms,
            });
            return Ok(output.json(&summary)?);
        }
        for (server, tiles) in servers {
            output.line(format_args!("{server}: {tiles} tiles"))?;
        }
        let verdict = match is_identical {
            Some(true) => ", identical to the picture computed here",
            Some(false) => ", another one than computed here",
            None => "",
        };
        Ok(output.line(format_args!(
            "{file}: {points} points in {tiles} tiles and {elapsed_ms} ms, {failovers} failovers, \
             {resumed} of them resumed{verdict}"
        ))?)
    }
}

/// A part of the plane that there is.
fn span(text: &str) -> Result<f64, String> {
    let span = text.parse().ok().filter(|span: &f64| span.is_finite() && *span > 0.0);
    span.ok_or_else(|| "a number above 0".into())
}

/// Two numbers with a comma between them.
fn place(text: &str) -> Result<[f64; 2], String> {
    let numbers = text.split_once(',').and_then(|(real, imaginary)| {
        Some([real.trim().parse().ok()?, imaginary.trim().parse().ok()?])
    });
    numbers.ok_or_else(|| "two numbers, such as -0.7,0.1".into())
}
