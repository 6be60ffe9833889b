//! Plots as inline SVG, coloured by the page's style sheet.
//!
//! plotters writes absolute colours. A page that is read by day, by night and on paper needs its own, so each plot
//! is drawn in placeholder colours that are then replaced by the style sheet's variables.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::schema::ScenarioReport;
use super::view::format;
use crate::load::from_base64;

const WIDTH: u32 = 620;
const HEIGHT: u32 = 330;

const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const ARMS: [RGBColor; 3] = [RGBColor(3, 3, 3), RGBColor(4, 4, 4), RGBColor(5, 5, 5)];

/// The style sheet's variable for the arm at `position` of `count`: the baseline is always the first colour, the
/// optimized arm always the last.
pub fn arm_colour(position: usize, count: usize) -> &'static str {
    ["--arm-a", "--arm-b", "--arm-c"][colour_index(position, count)]
}

fn colour_index(position: usize, count: usize) -> usize {
    match position {
        0 => 0,
        last if last + 1 == count => 2,
        _ => 1,
    }
}

/// One line of a plot.
struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Latency by percentile, both on scales that show the tail.
pub fn latency_distribution(scenario: &ScenarioReport) -> Result<Option<String>> {
    let count = scenario.arms.len();
    let mut lines = Vec::new();
    for (position, arm) in scenario.arms.iter().enumerate() {
        let Some(encoded) = &arm.histogram else { continue };
        let points = percentiles(encoded)?;
        if points.len() > 1 {
            let colour = ARMS[colour_index(position, count)];
            lines.push(Line {
                name: arm.name.clone(),
                colour,
                points,
            });
        }
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let nines = |x: &f64| match *x {
        x if x < 0.15 => "0 %".to_owned(),
        x if x < 0.65 => "50 %".to_owned(),
        x if x < 1.5 => "90 %".to_owned(),
        x if x < 2.5 => "99 %".to_owned(),
        _ => "99.9 %".to_owned(),
    };
    let ticks = [0.0, std::f64::consts::LOG10_2, 1.0, 2.0, 3.0];
    draw(
        &lines,
        "share of requests that were faster",
        "latency, ms",
        &ticks,
        &nines,
    )
    .map(Some)
}

/// Reads a stored histogram: points of (−log₁₀ of the slower share, latency in ms), as far as the samples carry.
fn percentiles(encoded: &str) -> Result<Vec<(f64, f64)>> {
    let histogram = from_base64(encoded)?;
    // The slowest ten samples decide nothing beyond this percentile.
    let carried = (histogram.len() as f64 / 10.0).max(2.0).log10().min(3.0);
    let steps = 60;
    Ok((0..=steps)
        .map(|step| {
            let nines = carried * f64::from(step) / f64::from(steps);
            let quantile = 1.0 - 10f64.powf(-nines);
            (nines, histogram.value_at_quantile(quantile) as f64 / 1e6)
        })
        .collect())
}

/// Median latency against depth, on two logarithmic scales.
pub fn latency_by_depth(scenarios: &[ScenarioReport]) -> Result<Option<String>> {
    let mut lines: Vec<Line> = Vec::new();
    let page = |scenario: &ScenarioReport| scenario.parameters.get("limit").cloned();
    let first_page = scenarios
        .iter()
        .find(|scenario| {
            scenario
                .parameters
                .get("depth")
                .is_some_and(|depth| depth.as_f64() == Some(0.0))
        })
        .and_then(page);
    for scenario in scenarios.iter().filter(|scenario| page(scenario) == first_page) {
        let Some(depth) = scenario.parameters.get("depth").and_then(|depth| depth.as_f64()) else {
            continue;
        };
        for (position, arm) in scenario.arms.iter().enumerate() {
            let Some(p50) = arm.latency_ms.p50 else { continue };
            let point = (depth.max(100.0).log10(), p50);
            match lines.iter_mut().find(|line| line.name == arm.name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line {
                    name: arm.name.clone(),
                    colour: ARMS[colour_index(position, scenario.arms.len())],
                    points: vec![point],
                }),
            }
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    if lines.iter().all(|line| line.points.len() < 2) {
        return Ok(None);
    }
    let depth = |x: &f64| match *x {
        x if x < 2.5 => "0".to_owned(),
        x => format::number(10f64.powf(x).round()),
    };
    draw(
        &lines,
        "products before the page",
        "median latency, ms",
        &[2.0, 3.0, 4.0, 5.0, 6.0],
        &depth,
    )
    .map(Some)
}

/// Median latency against an injected distance, on linear scales.
pub fn latency_by_distance(scenarios: &[ScenarioReport]) -> Result<Option<String>> {
    let mut lines: Vec<Line> = Vec::new();
    for scenario in scenarios {
        let Some(distance) = scenario.parameters.get("distance_ms").and_then(|ms| ms.as_f64()) else {
            continue;
        };
        for (position, arm) in scenario.arms.iter().enumerate() {
            let Some(p50) = arm.latency_ms.p50 else { continue };
            match lines.iter_mut().find(|line| line.name == arm.name) {
                Some(line) => line.points.push((distance, p50)),
                None => lines.push(Line {
                    name: arm.name.clone(),
                    colour: ARMS[colour_index(position, scenario.arms.len())],
                    points: vec![(distance, p50)],
                }),
            }
        }
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        line.points.dedup_by(|a, b| a.0 == b.0);
    }
    if lines.iter().all(|line| line.points.len() < 3) {
        return Ok(None);
    }
    let ticks: Vec<f64> = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.0))
        .collect();
    draw(
        &lines,
        "injected distance, ms one way",
        "median latency, ms",
        &ticks,
        &|x| format::number(*x),
    )
    .map(Some)
}

/// A linear axis with ticks at given values.
struct Scale {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

/// Lines over a logarithmic y axis. `ticks` are positions on the x axis, which the caller has scaled.
fn draw(
    lines: &[Line],
    x_title: &str,
    y_title: &str,
    ticks: &[f64],
    tick_label: &dyn Fn(&f64) -> String,
) -> Result<String> {
    let (x_scale, y_scale) = scales(lines, ticks);

    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(12)
            .margin_right(104)
            .margin_left(4)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d(x_scale, y_scale)
            .map_err(drawing_fault)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(1))
            .axis_style(GRID.stroke_width(1))
            .label_style(("sans-serif", 14).into_font().color(&INK))
            .axis_desc_style(("sans-serif", 14).into_font().color(&INK))
            .x_desc(x_title)
            .y_desc(y_title)
            .x_label_formatter(&|x| tick_label(x))
            .y_label_formatter(&|y| format::number(10f64.powf(*y)))
            .draw()
            .map_err(drawing_fault)?;
        let mut ends = Vec::new();
        for line in lines {
            let scaled: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| (*x, logarithm(*y))).collect();
            chart
                .draw_series(LineSeries::new(
                    scaled.iter().copied(),
                    line.colour.stroke_width(3),
                ))
                .map_err(drawing_fault)?;
            if scaled.len() < 12 {
                let marks = scaled
                    .iter()
                    .map(|point| Circle::new(*point, 4, line.colour.filled()));
                chart.draw_series(marks).map_err(drawing_fault)?;
            }
            if let Some(end) = scaled.last() {
                ends.push((line, chart.backend_coord(end)));
            }
        }
        label_ends(&root, ends)?;
        root.present().map_err(drawing_fault)?;
    }
    Ok(themed(&svg))
}

/// Axes that hold all points.
fn scales(lines: &[Line], ticks: &[f64]) -> (Scale, Scale) {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let low = points().map(|point| point.0).fold(f64::MAX, f64::min);
    let high = points()
        .map(|point| point.0)
        .fold(f64::MIN, f64::max)
        .max(low + 0.01);
    let ticks = ticks
        .iter()
        .copied()
        .filter(|x| (low..=high).contains(x))
        .collect();
    let y_ticks = logarithmic_ticks(points().map(|point| point.1));
    let (bottom, top) = (y_ticks[0], y_ticks[y_ticks.len() - 1]);
    (
        Scale { low, high, ticks },
        Scale {
            low: bottom,
            high: top,
            ticks: y_ticks,
        },
    )
}

/// Names each line at its end, where the eye is, without names on top of each other.
fn label_ends(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    mut ends: Vec<(&Line, (i32, i32))>,
) -> Result<()> {
    ends.sort_by_key(|(_, pixel)| pixel.1);
    let mut lowest = i32::MIN;
    for (line, (x, y)) in ends {
        let y = y.max(lowest);
        lowest = y + 16;
        let style = ("sans-serif", 14)
            .into_font()
            .color(&line.colour)
            .pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(line.name.clone(), (x + 8, y), style))
            .map_err(drawing_fault)?;
    }
    Ok(())
}

fn logarithm(value: f64) -> f64 {
    value.max(0.001).log10()
}

/// Ticks that enclose the values: at 1, 2 and 5 of each decade where there are few decades, else at each decade.
fn logarithmic_ticks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (low, high) = values
        .map(logarithm)
        .fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    let within = if high - low > 2.0 {
        &[1.0][..]
    } else {
        &[1.0, 2.0, 5.0][..]
    };
    let decades = low.floor() as i32..=high.ceil() as i32;
    let all: Vec<f64> = decades
        .flat_map(|decade| {
            within
                .iter()
                .map(move |step: &f64| f64::from(decade) + step.log10())
        })
        .collect();
    let first = all.iter().rposition(|tick| *tick <= low + 1e-9).unwrap_or(0);
    let last = all
        .iter()
        .position(|tick| *tick >= high - 1e-9)
        .unwrap_or(all.len() - 1);
    all[first..=last.max(first + 1).min(all.len() - 1)].to_vec()
}

fn drawing_fault(fault: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot could not be drawn: {fault}")
}

/// Lets the page's style sheet decide colours and width.
fn themed(svg: &str) -> String {
    let mut themed = svg.to_owned();
    let variables = [
        (INK, "--ink"),
        (GRID, "--grid"),
        (ARMS[0], "--arm-a"),
        (ARMS[1], "--arm-b"),
        (ARMS[2], "--arm-c"),
    ];
    for (colour, variable) in variables {
        let hex = format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
        themed = themed.replace(&hex, &format!("\"var({variable})\""));
    }
    let fixed = format!("width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox");
    themed.replacen(&fixed, "role=\"img\" viewBox", 1)
}
