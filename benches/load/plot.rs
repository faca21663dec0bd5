//! Draws how cost grows, from the lines that the cases came to.

use std::path::Path;

use plotters::prelude::*;
use serde_json::Value;

use crate::growth::Along;

type Failed = Box<dyn std::error::Error>;
type Points = Vec<(f64, f64)>;

const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const ORANGE: RGBColor = RGBColor(0xd9, 0x6c, 0x0b);
const GREY: RGBColor = RGBColor(0x80, 0x80, 0x80);

/// Writes a picture with a panel for each thing that grows.
pub fn growth(lines: &[Value], path: &Path) -> Result<(), Failed> {
    let area = SVGBackend::new(path, (1140, 380)).into_drawing_area();
    area.fill(&WHITE)?;
    let panels = area.split_evenly((1, Along::ALL.len()));
    for (panel, along) in panels.iter().zip(Along::ALL) {
        let points = |database: &str, figure: &str| -> Points {
            let is_it = |line: &&Value| {
                line["along"] == along.name()
                    && (database.is_empty() || line["database"] == database)
            };
            lines
                .iter()
                .filter(is_it)
                .filter_map(|line| Some((line["size"].as_f64()?, line[figure].as_f64()?)))
                .collect()
        };
        let curves = [
            ("SQLite", BLUE, points("SQLite", "rate")),
            ("MariaDB", ORANGE, points("MariaDB", "rate")),
            ("echo", GREY, means(points("", "echo_rate"))),
        ];
        draw(panel, along, &curves)?;
    }
    area.present()?;
    Ok(())
}

/// One point for each size: the mean of its points.
fn means(points: Points) -> Points {
    let mut sizes: Vec<f64> = points.iter().map(|point| point.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let mean = |size: f64| {
        let of: Vec<f64> =
            points.iter().filter(|point| point.0 == size).map(|point| point.1).collect();
        (size, of.iter().sum::<f64>() / of.len() as f64)
    };
    sizes.into_iter().map(mean).collect()
}

fn draw(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    along: Along,
    curves: &[(&str, RGBColor, Points)],
) -> Result<(), Failed> {
    let all = || curves.iter().flat_map(|(_, _, points)| points);
    let most = all().map(|point| point.1).fold(0.0, f64::max) * 1.1;
    let sizes = along.sizes();
    let (first, last) = (sizes[0] as f64 * 0.8, sizes[sizes.len() - 1] as f64 * 1.25);
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("updates/s against {}", along.name()), ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(55)
        .build_cartesian_2d((first..last).log_scale(), 0.0..most.max(1.0))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|size| format!("{size}"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .draw()?;
    for (name, colour, points) in curves {
        let colour = *colour;
        chart
            .draw_series(
                LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3),
            )?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE)
        .border_style(GREY)
        .draw()?;
    Ok(())
}
