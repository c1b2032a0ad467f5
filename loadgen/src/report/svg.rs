//! The plots of the HTML report: lines over seconds, percentiles per level, stacked bars. Only what the report needs of
//! SVG; colours and fonts are those of the page.

use std::fmt::Write;

use super::html::escaped;

/// Values over the seconds of a run, with the name that the legend shows.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// By second.
    pub(super) values: Vec<f64>,
}

/// Lines over seconds, from zero up, with a legend.
pub(super) fn lines(title: &str, unit: &str, lines: &[Line<'_>]) -> String {
    let seconds = lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
    let most = lines.iter().flat_map(|line| line.values.iter().copied()).fold(0.0, f64::max);
    let scale = Scale::to(most);
    let mut svg = Svg::new(title, HEIGHT);
    svg.legend(lines.iter().map(|line| line.name));
    svg.grid(&scale, unit);
    let x = |second: usize| LEFT + PLOT_WIDTH * second as f64 / (seconds.max(2) - 1) as f64;
    let step = (seconds / 10).max(1);
    for second in (0..seconds).step_by(step) {
        svg.text(x(second), BOTTOM + 16.0, "middle", &second.to_string());
    }
    svg.text(LEFT + PLOT_WIDTH, BOTTOM + 32.0, "end", "seconds from the start of the load");
    for (colour, line) in lines.iter().enumerate() {
        let points: Vec<String> = line
            .values
            .iter()
            .enumerate()
            .map(|(second, value)| format!("{:.1},{:.1}", x(second), scale.y(*value)))
            .collect();
        let _ =
            write!(svg.0, r#"<polyline class="line c{}" points="{}"/>"#, colour % COLOURS, points.join(" "));
        for (second, value) in line.values.iter().enumerate() {
            let _ = write!(
                svg.0,
                r#"<circle class="dot c{}" cx="{:.1}" cy="{:.1}" r="2.5"><title>{}, second {second}: {}</title></circle>"#,
                colour % COLOURS,
                x(second),
                scale.y(*value),
                escaped(line.name),
                number(*value),
            );
        }
    }
    svg.finish()
}

/// Groups of bars that stand side by side, one for each of `names`.
pub(super) fn groups(title: &str, unit: &str, names: &[&str], groups: &[(&str, Vec<f64>)]) -> String {
    let most = groups.iter().flat_map(|(_, values)| values.iter().copied()).fold(0.0, f64::max);
    let scale = Scale::to(most);
    let mut svg = Svg::new(title, HEIGHT);
    svg.legend(names.iter().copied());
    svg.grid(&scale, unit);
    let width = PLOT_WIDTH / groups.len().max(1) as f64;
    for (place, (group, values)) in groups.iter().enumerate() {
        let left = LEFT + width * place as f64;
        svg.text(left + width / 2.0, BOTTOM + 16.0, "middle", group);
        let bar = width * 0.8 / values.len().max(1) as f64;
        for (colour, (value, name)) in values.iter().zip(names).enumerate() {
            let _ = write!(
                svg.0,
                r#"<rect class="bar c{}" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}"><title>{} {}: {}</title></rect>"#,
                colour % COLOURS,
                left + width * 0.1 + bar * colour as f64,
                scale.y(*value),
                (bar - 2.0).max(1.0),
                BOTTOM - scale.y(*value),
                escaped(group),
                escaped(name),
                number(*value),
            );
        }
    }
    svg.finish()
}

/// One bar made of parts, each with its name and share below.
pub(super) fn stack(title: &str, unit: &str, parts: &[(&str, f64)]) -> String {
    let sum: f64 = parts.iter().map(|(_, value)| value).sum();
    let mut svg = Svg::new(title, 100.0);
    let (mut left, width) = (8.0, WIDTH - 16.0);
    for (colour, (name, value)) in parts.iter().enumerate() {
        let part = if sum > 0.0 { width * value / sum } else { 0.0 };
        let share = if sum > 0.0 { 100.0 * value / sum } else { 0.0 };
        let _ = write!(
            svg.0,
            r#"<rect class="bar c{}" x="{left:.1}" y="12" width="{part:.1}" height="36"><title>{}: {} {} ({share:.0} %)</title></rect>"#,
            colour % COLOURS,
            escaped(name),
            number(*value),
            escaped(unit),
        );
        left += part;
    }
    let column = width / parts.len().max(1) as f64;
    for (colour, (name, value)) in parts.iter().enumerate() {
        let x = 8.0 + column * colour as f64;
        let _ = write!(
            svg.0,
            r#"<rect class="bar c{}" x="{x:.1}" y="62" width="10" height="10"/>"#,
            colour % COLOURS
        );
        svg.text(x + 15.0, 71.0, "start", name);
        svg.text(x + 15.0, 87.0, "start", &format!("{} {unit}", number(*value)));
    }
    svg.finish()
}

/// From zero to a round number.
struct Scale {
    step: f64,
    top: f64,
}

impl Scale {
    /// At most five steps of 1, 2 or 5 times a power of ten, up to `most` at least.
    fn to(most: f64) -> Self {
        let least = if most.is_finite() && most > 0.0 { most / 5.0 } else { 0.2 };
        let power = 10_f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least);
        let step = step.unwrap_or(10.0 * power);
        Self { step, top: step * (most / step).ceil().max(1.0) }
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (value / self.top).clamp(0.0, 1.0)
    }
}

struct Svg(String);

impl Svg {
    fn new(title: &str, height: f64) -> Self {
        let title = escaped(title);
        Self(format!(
            r#"<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><title>{title}</title>"#
        ))
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let _ =
            write!(self.0, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#, escaped(text));
    }

    fn legend<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut x = LEFT;
        for (colour, name) in names.enumerate() {
            let _ = write!(
                self.0,
                r#"<rect class="bar c{}" x="{x:.1}" y="6" width="10" height="10"/>"#,
                colour % COLOURS
            );
            self.text(x + 15.0, 15.0, "start", name);
            x += 40.0 + 7.5 * name.chars().count() as f64;
        }
    }

    fn grid(&mut self, scale: &Scale, unit: &str) {
        let steps = (scale.top / scale.step).round() as usize;
        for step in 0..=steps {
            let value = scale.step * step as f64;
            let y = scale.y(value);
            let _ = write!(
                self.0,
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
                LEFT + PLOT_WIDTH
            );
            self.text(LEFT - 8.0, y + 4.0, "end", &number(value));
        }
        self.text(LEFT + PLOT_WIDTH, 15.0, "end", unit);
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// A number as people read it: thousands apart, digits behind the point only where there are few before it.
pub(super) fn number(value: f64) -> String {
    let digits = if value == value.trunc() || value.abs() >= 100.0 { 0 } else { 1 };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const PLOT_WIDTH: f64 = 680.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 236.0;

/// Colours that the page defines.
pub(super) const COLOURS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round_and_hold_everything() {
        for (most, step, top) in [
            (0.0, 0.2, 0.2),
            (1.0, 0.2, 1.0),
            (9_998.0, 2_000.0, 10_000.0),
            (10_001.0, 5_000.0, 15_000.0),
            (163.0, 50.0, 200.0),
        ] {
            let scale = Scale::to(most);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
            assert!(near(scale.step, step) && near(scale.top, top), "{most}: {} {}", scale.step, scale.top);
            assert!(near(scale.y(0.0), BOTTOM) && near(scale.y(scale.top), TOP));
        }
        assert!(Scale::to(f64::NAN).step > 0.0 && Scale::to(f64::INFINITY).step > 0.0);
    }

    #[test]
    fn numbers_are_read_in_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (12.34, "12.3"),
            (999.9, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1_000.0, "-1,000"),
            (-100.0, "-100"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn an_empty_run_draws_a_plot_without_figures_that_are_none() {
        for svg in [lines("a", "b", &[]), groups("a", "b", &[], &[]), stack("a", "b", &[("x", 0.0)])] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
    }
}
