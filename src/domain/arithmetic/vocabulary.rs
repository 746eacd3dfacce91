//! The fifteen tokens and their characters.

use crate::domain::shape::D_VOCAB;

/// An index into the vocabulary; digits are their own tokens.
pub type Token = u8;

/// The token of `+`.
pub const PLUS: Token = 10;
/// The token of `-`.
pub const MINUS: Token = 11;
/// The token of `=`.
pub const EQUALS: Token = 12;

const CHARACTERS: [char; D_VOCAB] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '-', '=', '*', '\\',
];

/// The character of a token.
///
/// # Panics
/// If `token` is outside the vocabulary, which no network with `D_VOCAB` outputs can produce.
pub fn char_of(token: Token) -> char {
    CHARACTERS[token as usize]
}

/// The token of a character, if it has one.
pub fn token_of(character: char) -> Option<Token> {
    CHARACTERS
        .iter()
        .position(|&c| c == character)
        .map(|i| i as Token)
}
