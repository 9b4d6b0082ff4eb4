//! Refuse JSON that is cheap to send and dear to hold, before it is parsed.

use crate::RpcError;

/// Counts nesting and values in one pass over the bytes, without allocating.
///
/// It need not be a parser: bytes that are not JSON may pass and are refused by the parser afterwards.
///
/// # Errors
/// When arrays and objects nest deeper than `depth`, or there are more than `nodes` values.
pub(crate) fn check(bytes: &[u8], depth: usize, nodes: usize) -> Result<(), RpcError> {
    let (mut level, mut count, mut in_string, mut escaped) = (0_usize, 1_usize, false, false);
    for byte in bytes {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                level += 1;
                count += 1;
            }
            b']' | b'}' => level = level.saturating_sub(1),
            b',' => count += 1,
            _ => {}
        }
        if level > depth {
            return Err(RpcError::parse(format!("JSON is nested deeper than {depth} levels")));
        }
        if count > nodes {
            return Err(RpcError::parse(format!("JSON has more than {nodes} values")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn nesting_and_values_are_bounded() {
        assert!(check(b"[[[]]]", 3, 10).is_ok());
        assert!(check(b"[[[[]]]]", 3, 10).is_err());
        assert!(check(b"[1,2,3]", 3, 4).is_ok());
        assert!(check(b"[1,2,3,4]", 3, 4).is_err());
    }

    #[test]
    fn brackets_inside_strings_do_not_count() {
        assert!(check(br#"["[[[[", "\"[[[[", "\\"]"#, 1, 10).is_ok());
        assert!(check(br#"["\\",[[]]]"#, 2, 10).is_err());
    }
}
