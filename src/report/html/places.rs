//! What stands at each token position.

use crate::domain::shape::Shape;

/// The token at a position: `D4`, `op`, `D'4`, `=`, `±`, `A5`.
pub fn place(position: usize, shape: &Shape) -> String {
    let n = shape.n_digits;
    if position < n {
        format!("D{}", n - 1 - position)
    } else if position == n {
        "op".into()
    } else if position <= 2 * n {
        format!("D′{}", 2 * n - position)
    } else if position == shape.first_answer_position() {
        "=".into()
    } else if position == shape.first_answer_position() + 1 {
        "±".into()
    } else {
        format!("A{}", shape.n_ctx() - 1 - position)
    }
}
