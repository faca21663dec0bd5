//! Columns of text beside each other.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::{ASIDE, painted};

/// How far columns are apart.
const GAP: usize = 2;
/// What a column keeps when there is not room for all.
const LEAST: usize = 6;

/// A text and its style.
pub(crate) type Cell = (Style, String);

/// The lines of a table. Where there is a width, what is too long for it is cut, in the widest columns first.
pub(crate) fn lines(head: &[String], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<String> {
    let mut widths: Vec<usize> = head.iter().map(|name| name.width()).collect();
    for row in rows {
        for (width, (_, text)) in widths.iter_mut().zip(row) {
            *width = text.width().max(*width);
        }
    }
    if let Some(most) = width {
        fit(&mut widths, most);
    }
    let head: Vec<Cell> = head.iter().map(|name| (ASIDE, name.clone())).collect();
    [&head].into_iter().chain(rows).map(|row| line(row, &widths)).collect()
}

fn fit(widths: &mut [usize], most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    widths.iter_mut().for_each(|width| *width = (*width).min(most.max(LEAST)));
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().max() {
            Some(widest) if *widest > LEAST => *widest -= 1,
            Some(_) | None => break,
        }
    }
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    let mut missing = 0;
    for ((style, text), width) in row.iter().zip(widths) {
        let text = cut(text, *width);
        line.extend(std::iter::repeat_n(' ', missing));
        missing = width.saturating_sub(text.width()) + GAP;
        if !text.is_empty() {
            line.push_str(&painted(*style, &text));
        }
    }
    line
}

/// A text that takes no more than so many places.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |letter: &char| {
        taken += letter.width().unwrap_or(0);
        taken < width
    };
    let begin: String = text.chars().take_while(fits).collect();
    format!("{begin}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::PLAIN;

    fn table(rows: &[[&str; 3]], width: Option<usize>) -> Vec<String> {
        let head = ["id", "n", "what"].map(str::to_owned);
        let rows: Vec<Vec<Cell>> =
            rows.iter().map(|row| row.map(|text| (PLAIN, text.to_owned())).to_vec()).collect();
        let plain = |line: String| anstream::adapter::strip_str(&line).to_string();
        lines(&head, &rows, width).into_iter().map(plain).collect()
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["lamp", "1", "on=true"], ["日本", "22", ""], ["é", "", "x"]];
        let expected = ["id    n   what", "lamp  1   on=true", "日本  22", "é         x"];
        let trimmed: Vec<_> =
            table(&rows, None).into_iter().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(trimmed, expected);
    }

    #[test]
    fn what_does_not_fit_is_cut_in_the_widest_column() {
        let rows = [["lamp", "1", "on=true brightness=40 name=hall"]];
        assert_eq!(table(&rows, Some(30))[1], "lamp  1  on=true brightness=4…");
        assert_eq!(table(&rows, Some(5))[1], "lamp  1  on=tr…", "no column is cut below 6");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
    }
}
