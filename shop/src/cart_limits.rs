//! The bounds of a cart.

/// Lines in a cart. This bounds the cost of reading one and the rows that one order locks; it is far above a
/// household's largest shopping list.
pub const MAX_LINES: i64 = 100;

/// Units of one line: the bound of its column.
pub const MAX_QUANTITY: i64 = 1000;
