//! Statements over many rows, in few shapes, so that few need to be prepared.

use std::fmt::Write;

use mysql_async::Value;

use crate::limits::MYSQL_ROWS_MAX;

const _: () = assert!(MYSQL_ROWS_MAX.is_power_of_two() && MYSQL_ROWS_MAX > 16);

/// Rows to be inserted: their values one after another.
#[derive(Debug)]
pub(super) struct Rows {
    columns: usize,
    values: Vec<Value>,
}

impl Rows {
    pub(super) const fn new(columns: usize) -> Self {
        Self { columns, values: Vec::new() }
    }

    pub(super) fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns, "a row has all columns");
        self.values.extend(row);
    }

    /// Takes the first rows out: as many as one statement may have, in rows and in bytes, but one at least; a power of
    /// two, so that there are few such statements. `None` when there are no more.
    pub(super) fn next(&mut self, bytes_max: usize) -> Option<(usize, Vec<Value>)> {
        let (mut rows, mut bytes) = (0_usize, 0);
        for row in self.values.chunks(self.columns).take(MYSQL_ROWS_MAX) {
            bytes += row.iter().map(bytes_of).sum::<usize>();
            if rows > 0 && bytes > bytes_max {
                break;
            }
            rows += 1;
        }
        let rows = 1 << rows.checked_ilog2()?;
        let rest = self.values.split_off(rows * self.columns);
        Some((rows, std::mem::replace(&mut self.values, rest)))
    }

    /// `head (?,?),(?,?) tail`.
    pub(super) fn text(&self, head: &str, rows: usize, tail: &str) -> String {
        format!("{head} {} {tail}", tuples(rows, self.columns))
    }
}

/// As the protocol counts, roughly.
const fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len() + 16,
        Value::NULL
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..) => 16,
    }
}

/// `(?,?),(?,?)`, or `?,?` for single columns.
pub(super) fn tuples(rows: usize, columns: usize) -> String {
    let marks = vec!["?"; columns].join(",");
    let mut text = String::with_capacity(rows * (marks.len() + 3));
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = match columns {
            1 => write!(text, "{comma}{marks}"),
            _ => write!(text, "{comma}({marks})"),
        };
    }
    text
}

/// Keys to be looked up, in lists of few sizes: the last one is repeated until a list is full.
pub(super) fn lists<const N: usize>(
    keys: &[[i64; N]],
) -> impl Iterator<Item = (usize, Vec<Value>)> {
    keys.chunks(MYSQL_ROWS_MAX).map(|chunk| {
        let size = match chunk.len() {
            1 => 1,
            2..=16 => 16,
            _ => MYSQL_ROWS_MAX,
        };
        let last = chunk.last().into_iter().cycle();
        let padded = chunk.iter().chain(last).take(size);
        (size, padded.flatten().map(|number| Value::Int(*number)).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_powers_of_two_and_within_the_bytes() {
        let mut rows = Rows::new(2);
        for number in 0..MYSQL_ROWS_MAX as i64 + 7 {
            rows.push([Value::Int(number), Value::Int(0)]);
        }
        let mut sizes = Vec::new();
        while let Some((size, values)) = rows.next(1 << 20) {
            assert_eq!(values.len(), 2 * size);
            sizes.push(size);
        }
        assert_eq!(sizes, [MYSQL_ROWS_MAX, 4, 2, 1]);

        for _ in 0..3 {
            rows.push([Value::Int(0), Value::Bytes(vec![0; 1_000])]);
        }
        assert_eq!(rows.next(2_500).expect("rows").0, 2);
        assert_eq!(rows.next(10).expect("one at least").0, 1);
        assert!(rows.next(10).is_none());
        assert_eq!(rows.text("VALUES", 2, "END"), "VALUES (?,?),(?,?) END");
    }

    #[test]
    fn lists_have_few_sizes() {
        let keys: Vec<[i64; 1]> = (0..MYSQL_ROWS_MAX as i64 + 3).map(|key| [key]).collect();
        let sizes: Vec<usize> = lists(&keys)
            .map(|(size, values)| {
                assert_eq!(size, values.len());
                size
            })
            .collect();
        assert_eq!(sizes, [MYSQL_ROWS_MAX, 16]);
        assert_eq!(lists(&keys[..1]).next().expect("one").0, 1);
        assert_eq!(tuples(3, 1), "?,?,?");
    }
}
