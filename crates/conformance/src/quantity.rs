//! Read numbers as Ethereum's test formats write them.

use candela_primitives::U256;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// A number that may be out of range on purpose, as some tests want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(Result<U256, String>);

impl Quantity {
    /// The number.
    ///
    /// # Errors
    /// When it has more than 256 bits.
    pub fn get(&self) -> Result<U256, String> {
        self.0.clone()
    }

    /// The number in a narrower type.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn narrow<T: TryFrom<U256>>(&self) -> Result<T, String> {
        let value = self.get()?;
        T::try_from(value).map_err(|_| format!("{value:#x} is out of range"))
    }

    /// The number, or the greatest of a narrower type when it does not fit.
    ///
    /// # Errors
    /// When it has more than 256 bits.
    pub fn clamp_u64(&self) -> Result<u64, String> {
        Ok(self.get()?.saturating_to())
    }
}

/// `None` when the text is no number at all.
fn parse(text: &str) -> Option<Result<U256, String>> {
    let text = text.trim().trim_start_matches("0x:bigint ");
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    if digits.is_empty() {
        return Some(Ok(U256::ZERO));
    }
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some(U256::from_str_radix(digits, u64::from(radix)).map_err(|_| format!("{text} has more than 256 bits")))
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = match &value {
            Value::String(text) => parse(text),
            Value::Number(number) => number.as_u64().map(|number| Ok(U256::from(number))),
            _ => None,
        };
        parsed.map(Self).ok_or_else(|| D::Error::custom(format!("{value} is not a number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Quantity {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_spelling_of_a_number_is_read() {
        assert_eq!(read(r#""0x0010""#).get(), Ok(U256::from(16)));
        assert_eq!(read(r#""16""#).get(), Ok(U256::from(16)));
        assert_eq!(read("16").get(), Ok(U256::from(16)));
        assert_eq!(read(r#""0x""#).get(), Ok(U256::ZERO));
        assert!(serde_json::from_str::<Quantity>(r#""0xzz""#).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_kept_as_such() {
        assert!(read(&format!(r#""0x:bigint 0x1{}""#, "0".repeat(64))).get().is_err());
        assert!(read(r#""0x010000000000000000""#).narrow::<u64>().is_err());
        assert_eq!(read(r#""0x010000000000000000""#).clamp_u64(), Ok(u64::MAX));
    }
}
