//! The patterns of `LIKE`.

/// A pattern: `%` stands for any text, `_` for any one character, and `\` before one of them, or before itself, for
/// that character. A `\` before anything else, or at the end, is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Sign(char),
}

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (mut tokens, mut signs) = (Vec::new(), text.chars().peekable());
        while let Some(sign) = signs.next() {
            tokens.push(match sign {
                '%' if tokens.last() == Some(&Token::Any) => continue,
                '%' => Token::Any,
                '_' => Token::One,
                '\\' => Token::Sign(
                    signs.next_if(|next| matches!(next, '%' | '_' | '\\')).unwrap_or('\\'),
                ),
                sign => Token::Sign(sign),
            });
        }
        Self(tokens)
    }

    /// Whether it is the pattern of the whole text. It takes at most as many steps as text times pattern is long:
    /// only the last `%` is gone back to, as nothing is won by what an earlier one could take more.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (mut tokens, mut rest) = (self.0.as_slice(), text.chars());
        let mut back = None;
        loop {
            let mut ahead = rest.clone();
            match (tokens.split_first(), ahead.next()) {
                (Some((Token::Any, behind)), _) => {
                    back = Some((behind, rest.clone()));
                    tokens = behind;
                }
                (Some((Token::One, behind)), Some(_)) => (tokens, rest) = (behind, ahead),
                (Some((Token::Sign(sign), behind)), Some(next)) if *sign == next => {
                    (tokens, rest) = (behind, ahead);
                }
                (None, None) => return true,
                (_, _) => {
                    let Some((behind, from)) = &mut back else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (tokens, rest) = (behind, from.clone());
                }
            }
        }
    }
}
