//! Reasons inside the output of a reverted call.

use alloy_primitives::U256;

const ERROR_STRING: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// The reason in `Error(string)` or `Panic(uint256)`, as `abi.UnpackRevert` of go-ethereum words it.
pub(crate) fn reason(output: &[u8]) -> Option<String> {
    let (selector, arguments) = output.split_first_chunk::<4>()?;
    match *selector {
        ERROR_STRING => string_argument(arguments),
        PANIC => Some(panic_reason(word(arguments, 0)?)),
        _ => None,
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<U256> {
    Some(U256::from_be_slice(bytes.get(offset..offset.checked_add(32)?)?))
}

fn string_argument(arguments: &[u8]) -> Option<String> {
    let offset = usize::try_from(word(arguments, 0)?).ok()?;
    let length = usize::try_from(word(arguments, offset)?).ok()?;
    let start = offset.checked_add(32)?;
    let text = arguments.get(start..start.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn panic_reason(code: U256) -> String {
    let text = match u64::try_from(code) {
        Ok(0x00) => "generic panic",
        Ok(0x01) => "assert(false)",
        Ok(0x11) => "arithmetic underflow or overflow",
        Ok(0x12) => "division or modulo by zero",
        Ok(0x21) => "enum overflow",
        Ok(0x22) => "invalid encoded storage byte array accessed",
        Ok(0x31) => "out-of-bounds array access; popping on an empty array",
        Ok(0x32) => "out-of-bounds access of an array or bytesN",
        Ok(0x41) => "out of memory",
        Ok(0x51) => "uninitialized function",
        _ => return format!("unknown panic code: {code:#x}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    #[test]
    fn error_strings_and_panics_are_unpacked() {
        let output = hex!(
            "08c379a0"
            "0000000000000000000000000000000000000000000000000000000000000020"
            "000000000000000000000000000000000000000000000000000000000000000a"
            "75736572206572726f7200000000000000000000000000000000000000000000"
        );
        assert_eq!(reason(&output).as_deref(), Some("user error"));
        let panic = [&PANIC[..], &U256::from(0x11).to_be_bytes::<32>()].concat();
        assert_eq!(reason(&panic).as_deref(), Some("arithmetic underflow or overflow"));
    }

    #[test]
    fn output_that_only_looks_like_a_reason_is_refused() {
        for arguments in [&[][..], &[0xff; 32], &[0xff; 64], &U256::from(32).to_be_bytes::<32>()] {
            assert_eq!(reason(&[&ERROR_STRING[..], arguments].concat()), None);
        }
    }
}
