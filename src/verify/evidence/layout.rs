//! JSON formatted for people and for diffs: whatever fits on one line is written on one line.

use serde::Serialize;

/// Maximum width of an object or array on one line, in bytes.
const WIDTH: usize = 120;

/// Formats a value as JSON with two spaces of indent and a final line feed. An object or array that
/// fits on one line is not broken, so that a rate takes one line, and so does a changed rate in a
/// diff.
///
/// # Panics
/// If the value has keys that are not strings.
pub fn laid_out(value: &impl Serialize) -> String {
    let compact = serde_json::to_string(value).expect("what is stored has string keys");
    let mut out = String::with_capacity(compact.len() * 3 / 2);
    write(&mut out, &compact, 0, 0);
    out.push('\n');
    out
}

/// Writes one value, given as compact JSON, at an indent; `before` bytes of its line are already
/// taken.
fn write(out: &mut String, value: &str, indent: usize, before: usize) {
    let container = value.len() > 2 && value.starts_with(['{', '[']);
    if !container || before + spaced_len(value) <= WIDTH {
        spaced(out, value);
        return;
    }
    let (open, close) = (&value[..1], &value[value.len() - 1..]);
    out.push_str(open);
    let inner = " ".repeat(indent + 2);
    for (i, part) in parts(&value[1..value.len() - 1]).into_iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&inner);
        let key = match open {
            "{" => key_len(part),
            _ => 0,
        };
        if key > 0 {
            out.push_str(&part[..key]);
            out.push(' ');
        }
        // A comma may follow.
        let taken = inner.len() + key + usize::from(key > 0) + 1;
        write(out, &part[key..], indent + 2, taken);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push_str(close);
}

/// Calls `visit` with every structural byte of compact JSON (outside strings) and its offset.
fn structure(json: &str, mut visit: impl FnMut(usize, u8)) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'}' | b'[' | b']' | b',' | b':' if !quoted => visit(at, byte),
            _ => {}
        }
    }
}

/// The members or elements between a pair of brackets.
fn parts(inner: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth) = (Vec::new(), 0, 0usize);
    structure(inner, |at, byte| match byte {
        b'{' | b'[' => depth += 1,
        b'}' | b']' => depth -= 1,
        b',' if depth == 0 => {
            found.push(&inner[start..at]);
            start = at + 1;
        }
        _ => {}
    });
    found.push(&inner[start..]);
    found
}

/// Bytes of a member's key with its colon.
fn key_len(member: &str) -> usize {
    let mut end = 0;
    structure(member, |at, byte| {
        if end == 0 && byte == b':' {
            end = at + 1;
        }
    });
    end
}

/// Bytes of a value on one line, with a space after every comma and colon.
fn spaced_len(value: &str) -> usize {
    let mut blanks = 0;
    structure(value, |_, byte| {
        blanks += usize::from(matches!(byte, b',' | b':'));
    });
    value.len() + blanks
}

fn spaced(out: &mut String, value: &str) {
    let mut start = 0;
    structure(value, |at, byte| {
        if matches!(byte, b',' | b':') {
            out.push_str(&value[start..=at]);
            out.push(' ');
            start = at + 1;
        }
    });
    out.push_str(&value[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_fits_stands_on_one_line_and_what_does_not_is_broken() {
        let long = "x".repeat(WIDTH);
        let value = json!({"a": {"b": [1, 2], "c:,": "{\"\\"}, "long": [long, {}], "empty": []});
        let expected = format!(
            "{{\n  \"a\": {{\"b\": [1, 2], \"c:,\": \"{{\\\"\\\\\"}},\n  \"empty\": [],\n  \"long\": [\n    \"{long}\",\n    {{}}\n  ]\n}}\n"
        );
        assert_eq!(laid_out(&value), expected);
    }

    #[test]
    fn no_line_is_longer_than_its_longest_scalar_asks() {
        let text = laid_out(&json!([vec![1234; 40], vec![0; 35], {"k": vec!["é"; 60]}]));
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().any(|line| line.len() > WIDTH / 2), "{text}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[ -~é]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\:,]{0,6}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_laid_out_is_read_back_as_it_was(value in any_json()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&laid_out(&value)).unwrap(), value);
        }
    }
}
