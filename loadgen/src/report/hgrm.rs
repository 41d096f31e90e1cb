//! The percentile text format of HdrHistogram, which its plotters read. Values are in microseconds.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Lines per halving of the distance to 100 %, as the reference implementation prints by default.
const TICKS_PER_HALF: u32 = 5;

/// Writes a histogram of nanoseconds as `.hgrm` text.
#[must_use]
pub fn text(histogram: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = out.write_fmt(text);
    };
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1_000.0;
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            let odds = 1.0 / (1.0 - quantile);
            line(format_args!("{value:12.3} {quantile:2.12} {total:10} {odds:14.2}\n"));
        } else {
            line(format_args!("{value:12.3} {quantile:2.12} {total:10}\n"));
        }
    }
    let (mean, deviation) = (histogram.mean() / 1_000.0, histogram.stdev() / 1_000.0);
    line(format_args!("#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n"));
    let (max, count) = (histogram.max() as f64 / 1_000.0, histogram.len());
    line(format_args!("#[Max     = {max:12.3}, Total count    = {count:12}]\n"));
    let (buckets, sub_buckets) = (histogram.buckets(), sub_buckets(histogram));
    line(format_args!("#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]\n"));
    out
}

/// The power of two that gives the histogram its precision.
fn sub_buckets(histogram: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=100_000_u64).for_each(|n| histogram.record(n * 37 % 5_000_000 + 1_000).unwrap());
        histogram
    }

    #[test]
    fn every_line_agrees_with_the_histogram() {
        let histogram = sample();
        let text = text(&histogram);
        let lines = text.lines().skip(2).filter(|line| !line.starts_with('#'));
        let mut last = 0.0;
        let mut lines_seen = 0;
        for line in lines {
            let columns: Vec<f64> =
                line.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let (value_us, quantile, total) = (columns[0], columns[1], columns[2]);
            let value_ns = (value_us * 1_000.0).round() as u64;
            assert!(quantile >= last, "quantiles rise: {line}");
            assert_eq!(total as u64, histogram.count_between(0, value_ns), "{line}");
            assert_eq!(columns.len(), if quantile < 1.0 { 4 } else { 3 }, "{line}");
            last = quantile;
            lines_seen += 1;
        }
        assert_eq!(last, 1.0);
        assert!(lines_seen > 20, "{lines_seen} lines");
    }

    #[test]
    fn the_tail_gives_the_histogram_as_a_whole() {
        let histogram = sample();
        let text = text(&histogram);
        assert!(text.contains("Total count    =       100000]"), "{text}");
        assert!(text.contains(&format!("{:12.3}", histogram.max() as f64 / 1_000.0)));
        assert!(text.contains("SubBuckets     =         2048]"));
    }

    #[test]
    fn an_empty_histogram_is_a_valid_file() {
        let text = text(&Histogram::new(3).unwrap());
        assert!(text.contains("Total count    =            0]"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
