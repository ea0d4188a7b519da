//! A stable sort whose comparison can fail and need not be an order.
//!
//! The sorts of the standard library may panic when a comparison contradicts itself, which a template's can.

use std::collections::VecDeque;

use crate::error::Fault;

/// Sorts by merging. `before` says whether the first value goes before the second one; if neither or each goes
/// before the other, they keep their order.
pub(super) fn stable<T>(
    mut items: Vec<T>,
    before: &impl Fn(&T, &T) -> Result<bool, Fault>,
) -> Result<Vec<T>, Fault> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let mut left = VecDeque::from(stable(items, before)?);
    let mut right = VecDeque::from(stable(right, before)?);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(first), Some(second)) = (left.front(), right.front()) {
        // `lessOrEquals` says of equal values that each goes before the other one.
        let swap = before(second, first)? && !before(first, second)?;
        let next = if swap { &mut right } else { &mut left };
        merged.extend(next.pop_front());
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}
