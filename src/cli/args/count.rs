//! Counts as people write them: `1000`, `1_000`, `10k`, `1e6`.

/// Most trials of a claim or an edge.
pub const MOST_TRIALS: u64 = circuitcheck::experiment::MOST_TRIALS as u64;

/// Most questions of a class, which are held in memory with what the network makes of them.
pub const MOST_OF_CLASS: u64 = 1_000_000;

/// Most random sets of nodes, and most nodes to add to one.
pub const MOST_SETS: u64 = 10_000;

/// Most fresh sets of questions that behaviours are measured on.
pub const MOST_QUESTION_SETS: u64 = 1000;

/// Most cases of a property, which are held in memory.
pub const MOST_CASES: u64 = 10_000_000;

/// Most wrong answers that are kept.
pub const MOST_KEPT: u64 = 100_000;

/// Reads a count of one or more.
pub fn count<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    match read(text) {
        Some(0) | None => Err(expected("a whole number above 0")),
        Some(number) => fitting(number),
    }
}

/// Reads a count of one to `most`: more would take memory or time that nobody has.
pub fn count_to<N: TryFrom<u64>>(
    most: u64,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync {
    move |text| limited(count(text)?, most)
}

/// Reads a count that may be none, and is at most `most`.
pub fn count_or_none_to<N: TryFrom<u64>>(
    most: u64,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync {
    move |text| limited(count_or_none(text)?, most)
}

fn limited<N: TryFrom<u64>>(number: u64, most: u64) -> Result<N, String> {
    match number <= most {
        true => fitting(number),
        false => Err(format!("expected at most {most}")),
    }
}

/// Reads a count that may be none.
pub fn count_or_none<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    let number = read(text).ok_or_else(|| expected("a whole number, 0 or more"))?;
    fitting(number)
}

fn expected(what: &str) -> String {
    format!("expected {what}, such as 1000, 1_000, 10k or 1e6")
}

fn fitting<N: TryFrom<u64>>(number: u64) -> Result<N, String> {
    N::try_from(number).map_err(|_| "too large".into())
}

/// The number, or `None` for anything else, fractions included.
fn read(text: &str) -> Option<u64> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let (mantissa, power) = if let Some(mantissa) = text.strip_suffix('k') {
        (mantissa, 3)
    } else if let Some(mantissa) = text.strip_suffix('m') {
        (mantissa, 6)
    } else if let Some((mantissa, power)) = text.split_once('e') {
        (mantissa, power.parse().ok()?)
    } else {
        (text.as_str(), 0_u32)
    };
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let power = power.checked_sub(decimals.len().try_into().ok()?)?;
    let digits = format!("{whole}{decimals}");
    // `u64::from_str` also takes a leading `+`.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: u64 = digits.parse().ok()?;
    digits.checked_mul(10_u64.checked_pow(power)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, number) in [
            ("1000", 1000),
            ("1_000", 1000),
            ("10k", 10_000),
            ("1.5k", 1500),
            ("2M", 2_000_000),
            ("1e6", 1_000_000),
            ("2.5e6", 2_500_000),
        ] {
            assert_eq!(count::<u64>(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_count_is_refused_with_what_is_allowed() {
        for text in [
            "0", "", "-1", "+1", "k", "1.5", "1e-3", "1e99", "many", "0x10",
        ] {
            let error = count::<u64>(text).unwrap_err();
            assert!(error.contains("a whole number above 0"), "{text}: {error}");
        }
        assert_eq!(count_to::<u64>(7)("7"), Ok(7));
        let error = count_to::<u64>(7)("8").unwrap_err();
        assert_eq!(error, "expected at most 7");
        assert!(count_to::<u64>(7)("0").is_err());
        assert_eq!(count_or_none_to::<u64>(7)("0"), Ok(0));
        assert!(count_or_none_to::<u64>(7)("1e3").is_err());
        assert_eq!(count_or_none::<u64>("0"), Ok(0));
        assert!(count::<u8>("1k").unwrap_err().contains("too large"));
    }
}
