//! Numbers as an ack names them.

/// Rising numbers as inclusive ranges.
pub(super) fn to_ranges(numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *number <= *last + 1 => *last = (*last).max(*number),
            _ => ranges.push((*number, *number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_name_ranges() {
        assert_eq!(to_ranges(&[]), []);
        assert_eq!(to_ranges(&[1, 2, 3, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
    }
}
