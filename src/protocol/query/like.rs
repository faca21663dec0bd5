//! The patterns of `LIKE`.

use std::collections::HashMap;

/// A pattern: `%` stands for any text, `_` for any one character, and `\` before one of them, or before itself, for
/// that character. A `\` before anything else, or at the end, is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What stands before the first `%`, or all of it if there is none.
    first: Vec<Sign>,
    /// What stands between two of them, in order.
    between: Vec<Piece>,
    /// What stands behind the last one, if there is one.
    last: Option<Vec<Sign>>,
}

/// What a character of a text is compared with; none stands for any.
type Sign = Option<char>;

/// What a text has to hold somewhere. Finding it takes as long as the text is, not that times its own length.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// With a `_` in it: for each character, at which places of the piece it may stand, a bit for each.
    Places {
        length: usize,
        any: Vec<u64>,
        of: HashMap<char, Vec<u64>>,
    },
}

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (mut pieces, mut signs) = (vec![Vec::new()], text.chars().peekable());
        while let Some(sign) = signs.next() {
            let read = match sign {
                '%' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '_' => None,
                '\\' => {
                    Some(signs.next_if(|next| matches!(next, '%' | '_' | '\\')).unwrap_or('\\'))
                }
                sign => Some(sign),
            };
            pieces.last_mut().into_iter().for_each(|piece| piece.push(read));
        }
        let last = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or_default();
        let between = pieces.filter(|piece| !piece.is_empty()).map(|piece| Piece::new(&piece));
        Self { first, between: between.collect(), last }
    }

    /// Whether it is the pattern of the whole text.
    ///
    /// Each piece is looked for behind the one before, and taken where it is found first: nothing is won by what a `%`
    /// could take more.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some(rest) = without_start(text, &self.first) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        let found = self.between.iter().try_fold(rest, |rest, piece| piece.behind(rest));
        found.is_some_and(|rest| ends_with(rest, last))
    }
}

fn is_like(sign: Sign, next: char) -> bool {
    sign.is_none_or(|sign| sign == next)
}

/// What stands behind these signs, if the text begins with them.
fn without_start<'a>(text: &'a str, signs: &[Sign]) -> Option<&'a str> {
    let mut rest = text.chars();
    let begins = signs.iter().all(|sign| rest.next().is_some_and(|next| is_like(*sign, next)));
    begins.then_some(rest.as_str())
}

fn ends_with(text: &str, signs: &[Sign]) -> bool {
    let mut rest = text.chars().rev();
    signs.iter().rev().all(|sign| rest.next().is_some_and(|next| is_like(*sign, next)))
}

impl Piece {
    fn new(signs: &[Sign]) -> Self {
        if let Some(text) = signs.iter().copied().collect() {
            return Self::Text(text);
        }
        let words = signs.len().div_ceil(64);
        let (mut any, mut of) = (vec![0; words], HashMap::<char, Vec<u64>>::new());
        for (place, sign) in signs.iter().enumerate() {
            let places = match sign {
                None => &mut any,
                Some(sign) => of.entry(*sign).or_insert_with(|| vec![0; words]),
            };
            places.get_mut(place / 64).into_iter().for_each(|word| *word |= 1 << (place % 64));
        }
        for (word, any) in of.values_mut().flat_map(|places| places.iter_mut().zip(&any)) {
            *word |= any;
        }
        Self::Places { length: signs.len(), any, of }
    }

    /// What stands behind the first place where the text has this.
    fn behind<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => {
                let at = text.find(piece.as_str())?;
                text.get(at + piece.len()..)
            }
            Self::Places { length, any, of } => {
                // A bit for each place of the piece up to which the text just read is like it.
                let mut reached = vec![0_u64; any.len()];
                let mut rest = text.chars();
                while let Some(next) = rest.next() {
                    let mut carried = 1;
                    let places = of.get(&next).unwrap_or(any);
                    for (word, places) in reached.iter_mut().zip(places) {
                        let beyond = *word >> 63;
                        *word = (*word << 1 | carried) & places;
                        carried = beyond;
                    }
                    let last = length - 1;
                    if reached.get(last / 64).is_some_and(|word| word >> (last % 64) & 1 == 1) {
                        return Some(rest.as_str());
                    }
                }
                None
            }
        }
    }
}
