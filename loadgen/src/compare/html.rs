//! A comparison as one page: no network, no script, light and dark, printable.

use std::fmt::Write as _;

use super::environment::{Bearing, Difference};
use super::judge::Finding;
use super::svg::{self, escape};
use super::text::{figure, short, verdict};
use super::{Comparison, Word};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--page:#fff;--card:#f6f8fa;--rule:#d0d7de;--first:#0b62a8;
--second:#b84a00;--good:#116329;--bad:#a40e26;--band:#dbe9f6}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--page:#0d1117;--card:#161b22;--rule:#30363d;
--first:#6cb6ff;--second:#ff9a57;--good:#56d364;--bad:#ff7b72;--band:#1c2d41}}
@media print{:root{color-scheme:light}section{break-inside:avoid}}
body{margin:0 auto;max-width:940px;padding:16px 20px 40px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
h1{font-size:22px;margin:12px 0 4px}h2{font-size:17px;margin:30px 0 8px}
.banner{border-left:6px solid var(--soft);background:var(--card);padding:10px 16px;margin:14px 0;font-size:17px}
.banner.better{border-color:var(--good)}.banner.worse{border-color:var(--bad)}.banner.equivalent{border-color:var(--first)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:5px 9px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td:first-child,.words{text-align:left}td.verdict{white-space:normal;min-width:130px}td.wrap{white-space:normal;overflow-wrap:anywhere;text-align:left}
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}
.key{display:inline-block;width:11px;height:11px;margin-right:6px}.k0{background:var(--first);border-radius:6px}
.k1{background:var(--second)}
svg{width:100%;height:auto;min-width:620px}svg text{font:13px system-ui,sans-serif;fill:var(--ink)}
svg .small{font-size:12px;fill:var(--soft)}svg .name{font-weight:600}
svg .grid{stroke:var(--rule);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1.5}
svg .margin{fill:var(--band)}svg .bar{stroke-width:2.5}svg .bar.good{stroke:var(--good)}svg .bar.bad{stroke:var(--bad)}
svg .bar.open{stroke:var(--ink)}svg .bar.faint{stroke:var(--soft)}svg .dot.good{fill:var(--good)}
svg .dot.bad{fill:var(--bad)}svg .dot.open{fill:var(--ink)}svg .dot.faint{fill:var(--soft)}
svg circle.s0{fill:var(--first)}svg rect.s1{fill:var(--second)}svg .median{stroke-width:1.5;stroke-dasharray:5 4}
svg .median.s0{stroke:var(--first)}svg .median.s1{stroke:var(--second)}
svg .curve{fill:none;stroke-width:1.5;opacity:.75}svg .c0{stroke:var(--first)}
svg .c1{stroke:var(--second);stroke-dasharray:6 3}
";

pub(super) fn page(comparison: &Comparison) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    out.push_str("<title>Comparison of runs</title>\n<style>");
    out.push_str(STYLE);
    out.push_str("</style></head>\n<body>\n");
    head(&mut out, comparison);
    section(&mut out, "Circumstances that differ", &circumstances(&comparison.environment));
    section(&mut out, "Metrics", &table(comparison));
    section(&mut out, "Ratios", &ratios(comparison));
    section(
        &mut out,
        "Every run, in the order in which they were made",
        &scrolled(&svg::runs(comparison)),
    );
    if let Some(spectrum) = svg::spectrum(comparison) {
        let words = comparison.shape.as_ref().map(super::shape::Shape::words).unwrap_or_default();
        let inner = format!("{}<p>{}</p>", scrolled(&spectrum), escape(&words));
        section(&mut out, "Delivery latency by percentile, a line a run", &inner);
    }
    section(&mut out, "Runs", &places(comparison));
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, title: &str, inner: &str) {
    put(out, format_args!("<section><h2>{title}</h2>\n{inner}</section>\n"));
}

fn scrolled(picture: &str) -> String {
    format!("<div class=\"scroll\">{picture}</div>")
}

/// Writing to a String cannot fail.
fn put(out: &mut String, part: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(part);
}

fn head(out: &mut String, comparison: &Comparison) {
    out.push_str("<h1>Comparison of runs</h1>\n");
    for (side, name) in comparison.names.iter().enumerate() {
        let (runs, name) = (comparison.sides[side].len(), escape(name));
        let word = ["first", "second"][side];
        put(
            out,
            format_args!(
                "<div><span class=\"key k{side}\"></span>{word}: <code>{name}</code>, {runs} runs</div>\n"
            ),
        );
    }
    let word = comparison.verdict.label();
    put(
        out,
        format_args!("<div class=\"banner {word}\"><b>{word}</b>{}", escape(&summary(comparison))),
    );
    for note in &comparison.notes {
        put(out, format_args!("<div class=\"soft\">{}</div>", escape(note)));
    }
    out.push_str("</div>\n");
}

/// The metrics of each word, in words.
fn summary(comparison: &Comparison) -> String {
    let mut out = String::new();
    for word in [Word::Worse, Word::Better, Word::Inconclusive, Word::Equivalent] {
        let findings = comparison.findings.iter().filter(|found| found.verdict == Some(word));
        let names: Vec<&str> = findings.map(|found| found.words).collect();
        if !names.is_empty() {
            put(&mut out, format_args!("; {}: {}", word.label(), names.join(", ")));
        }
    }
    out
}

fn circumstances(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "<p>None: the same program, system, load and host.</p>".into();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table><tr><th>fact</th><th class=\"words\">first</th><th class=\"words\">second</th>\
         <th class=\"words\">bearing</th></tr>\n",
    );
    for difference in differences {
        let show = |values: &[serde_json::Value]| {
            let values: Vec<String> =
                values.iter().map(|value| short(&value.to_string())).collect();
            escape(&values.join(" and "))
        };
        let bearing = match difference.bearing {
            Bearing::Compared => "what is compared",
            Bearing::Allowed => "<b class=\"bad\">allowed by hand</b>",
            Bearing::Refused => "<b class=\"bad\">refused</b>",
        };
        let (fact, first, second) =
            (escape(&difference.fact), show(&difference.first), show(&difference.second));
        put(
            &mut out,
            format_args!(
                "<tr><td>{fact}</td><td class=\"wrap\">{first}</td><td class=\"wrap\">{second}</td>\
             <td class=\"words\">{bearing}</td></tr>\n"
            ),
        );
    }
    out + "</table></div>"
}

fn table(comparison: &Comparison) -> String {
    let mut out = String::from(
        "<div class=\"scroll\"><table><tr><th>metric</th><th>first</th><th>second</th><th>ratio</th>\
         <th>95 % interval</th><th>p</th><th>p (Holm)</th><th class=\"words\">verdict</th></tr>\n",
    );
    for finding in comparison.findings.iter().chain(&comparison.others) {
        out.push_str(&row(finding));
    }
    out + "</table></div><p class=\"soft\">Medians of runs; the ratio is Hodges and Lehmann's, with the interval of the \
           exact rank-sum test; p is that test's, corrected after Holm for the metrics with a verdict.</p>"
}

fn row(finding: &Finding) -> String {
    let class = match finding.verdict {
        Some(Word::Better) => "good",
        Some(Word::Worse) => "bad",
        Some(Word::Equivalent) => "",
        Some(Word::Inconclusive) | None => "soft",
    };
    let unit = if finding.unit.is_empty() { String::new() } else { format!(" ({})", finding.unit) };
    let holm = finding.p_holm.map_or_else(|| "-".into(), |p| format!("{p:.4}"));
    let words = if finding.verdict.is_some() { verdict(finding) } else { "not tested".into() };
    format!(
        "<tr><td>{}{unit}</td><td>{}</td><td>{}</td><td>{:.4}</td><td>{:.4} &ndash; {:.4}</td><td>{:.4}</td><td>{holm}</td>\
         <td class=\"words verdict {class}\">{}</td></tr>\n",
        finding.words,
        figure(finding.medians[0]),
        figure(finding.medians[1]),
        finding.ratio.median,
        finding.ratio.low,
        finding.ratio.high,
        finding.p,
        escape(&words)
    )
}

fn ratios(comparison: &Comparison) -> String {
    format!(
        "{}<p class=\"soft\">Diamond: the estimate; line: its interval; band: changes that do not matter. Equivalent when \
         the whole line lies in the band.</p>",
        scrolled(&svg::ratios(comparison))
    )
}

fn places(comparison: &Comparison) -> String {
    let mut out = String::from(
        "<div class=\"scroll\"><table><tr><th>side</th><th class=\"words\">run</th>\
        <th class=\"words\">started</th><th class=\"words\">measurement</th></tr>\n",
    );
    for (side, runs) in comparison.sides.iter().enumerate() {
        for run in runs {
            put(
                &mut out,
                format_args!(
                    "<tr><td><span class=\"key k{side}\"></span>{}</td><td class=\"wrap\">{}</td><td class=\"words\">{}</td>\
                 <td class=\"words\">{}</td></tr>\n",
                    ["first", "second"][side],
                    escape(&run.name),
                    escape(run.text("/run/started")),
                    escape(run.text("/verdict/validity"))
                ),
            );
        }
    }
    out + "</table></div>"
}
