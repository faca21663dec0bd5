//! The patterns of `LIKE`.

use std::collections::HashMap;

/// A pattern: `%` stands for any text, `_` for any one character, and `\` before one of them, or before itself, for
/// that character. A `\` before anything else, or at the end, is one.
///
/// ```
/// use twinthing::protocol::Pattern;
///
/// let full = Pattern::new(r"%100\%");
/// assert!(full.matches("at 100%"));
/// assert!(!full.matches("at 1000"));
/// ```
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
    /// With a `_` in it.
    Gaps(Gaps),
}

/// For each character at which places of a piece it may stand: a bit for each place, in as many words as it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gaps {
    length: usize,
    words: usize,
    /// Those of the characters of ASCII, one after the other.
    ascii: Vec<u64>,
    /// Those of the others that the piece has.
    others: HashMap<char, Vec<u64>>,
    /// Those of any character.
    any: Vec<u64>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// ```
    /// use twinthing::protocol::Pattern;
    ///
    /// assert!(Pattern::new(r"C:\").matches(r"C:\"), "any text is a pattern");
    /// assert!(Pattern::new("").matches(""));
    /// ```
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
    ///
    /// ```
    /// use twinthing::protocol::Pattern;
    ///
    /// let pattern = Pattern::new("pico_%");
    /// assert!(pattern.matches("pico12"));
    /// assert!(!pattern.matches("pico"), "_ takes one character");
    /// assert!(!pattern.matches("Pico12") && !pattern.matches("my pico12"));
    /// ```
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
        Self::Gaps(Gaps::new(signs))
    }

    /// What stands behind the first place where the text has this.
    fn behind<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => {
                let at = text.find(piece.as_str())?;
                text.get(at + piece.len()..)
            }
            Self::Gaps(gaps) => gaps.behind(text),
        }
    }
}

impl Gaps {
    fn new(signs: &[Sign]) -> Self {
        let words = signs.len().div_ceil(64);
        let mut any = vec![0_u64; words];
        let places = || signs.iter().enumerate();
        for (place, _) in places().filter(|(_, sign)| sign.is_none()) {
            set(&mut any, place);
        }
        let (mut ascii, mut others) = (any.repeat(128), HashMap::<char, Vec<u64>>::new());
        for (place, sign) in places() {
            match sign {
                Some(sign) if sign.is_ascii() => {
                    set(&mut ascii, *sign as usize * words * 64 + place)
                }
                Some(sign) => set(others.entry(*sign).or_insert_with(|| any.clone()), place),
                None => {}
            }
        }
        Self { length: signs.len(), words, ascii, others, any }
    }

    fn behind<'a>(&self, text: &'a str) -> Option<&'a str> {
        // A bit for each place of the piece up to which the text just read is like it.
        let mut reached = vec![0_u64; self.words];
        let last = self.length - 1;
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            let mut carried = 1;
            for (word, places) in reached.iter_mut().zip(self.places(next)) {
                let beyond = *word >> 63;
                *word = (*word << 1 | carried) & places;
                carried = beyond;
            }
            if reached.last().is_some_and(|word| word >> (last % 64) & 1 == 1) {
                return Some(rest.as_str());
            }
        }
        None
    }

    fn places(&self, sign: char) -> &[u64] {
        if sign.is_ascii() {
            let from = sign as usize * self.words;
            return self.ascii.get(from..from + self.words).unwrap_or_default();
        }
        self.others.get(&sign).unwrap_or(&self.any)
    }
}

/// Sets the bit of this number.
fn set(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}
