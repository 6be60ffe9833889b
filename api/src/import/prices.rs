//! Parses Shopify's decimal prices (`12.99`) into minor units (1299), exactly or not at all.

use shop::money::Currency;

/// Why a text isn't a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PriceFault {
    #[error("is empty")]
    Empty,
    #[error("is negative")]
    Negative,
    #[error("has a comma, which may mean thousands or decimals; write 1299.50")]
    Comma,
    #[error("is not a number; write it like 1299.50")]
    NotANumber,
    #[error("has more than the {0} decimals of the currency")]
    TooManyDecimals(u32),
    #[error("is too large")]
    TooLarge,
}

/// Parses a price. Decimals beyond the currency's are accepted if they are zeros: Shopify writes `500.00` for yen.
///
/// # Errors
/// For anything but digits with at most one decimal point, and for what minor units can't represent exactly.
pub(super) fn parse_price(text: &str, currency: Currency) -> Result<i64, PriceFault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(PriceFault::Empty);
    }
    if text.starts_with('-') && text.len() > 1 {
        return Err(PriceFault::Negative);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + decimals.len() == 0 || !digits_only(whole) || !digits_only(decimals) {
        let comma = text.contains(',') && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b',' | b'.'));
        return Err(if comma {
            PriceFault::Comma
        } else {
            PriceFault::NotANumber
        });
    }
    let exponent = currency.exponent();
    let decimals = decimals.trim_end_matches('0');
    let missing_zeros = (exponent as usize)
        .checked_sub(decimals.len())
        .ok_or(PriceFault::TooManyDecimals(exponent))?;
    let zeros = std::iter::repeat_n(b'0', missing_zeros);
    whole
        .bytes()
        .chain(decimals.bytes())
        .chain(zeros)
        .try_fold(0_i64, |minor_units, digit| {
            let shifted = minor_units.checked_mul(10)?;
            shifted.checked_add(i64::from(digit - b'0'))
        })
        .ok_or(PriceFault::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn prices_are_parsed_with_the_exponent_of_the_currency() {
        for (text, code, minor_units) in [
            ("12.99", "EUR", 1299),
            ("12.9", "EUR", 1290),
            ("12", "EUR", 1200),
            (" 12. ", "EUR", 1200),
            (".5", "EUR", 50),
            ("0", "EUR", 0),
            ("12.9900", "EUR", 1299),
            ("1500", "JPY", 1500),
            ("1500.00", "JPY", 1500),
            ("1.234", "KWD", 1234),
            ("1.2", "KWD", 1200),
            ("92233720368547758.07", "EUR", i64::MAX),
        ] {
            assert_eq!(
                parse_price(text, currency(code)),
                Ok(minor_units),
                "{text} {code}"
            );
        }
    }

    #[test]
    fn anything_but_an_exact_price_is_rejected_with_its_fault() {
        for (text, code, fault) in [
            ("", "EUR", PriceFault::Empty),
            ("  ", "EUR", PriceFault::Empty),
            ("-1", "EUR", PriceFault::Negative),
            ("-", "EUR", PriceFault::NotANumber),
            ("--1", "EUR", PriceFault::Negative),
            ("1,50", "EUR", PriceFault::Comma),
            ("1,000.00", "EUR", PriceFault::Comma),
            ("1.000,00", "EUR", PriceFault::Comma),
            ("1.000.000", "EUR", PriceFault::NotANumber),
            (".", "EUR", PriceFault::NotANumber),
            ("€5", "EUR", PriceFault::NotANumber),
            ("1e3", "EUR", PriceFault::NotANumber),
            ("+5", "EUR", PriceFault::NotANumber),
            ("1 000", "EUR", PriceFault::NotANumber),
            ("NaN", "EUR", PriceFault::NotANumber),
            ("٣", "EUR", PriceFault::NotANumber),
            ("12.999", "EUR", PriceFault::TooManyDecimals(2)),
            ("0.5", "JPY", PriceFault::TooManyDecimals(0)),
            ("1.2345", "KWD", PriceFault::TooManyDecimals(3)),
            ("92233720368547758.08", "EUR", PriceFault::TooLarge),
            ("99999999999999999999999999", "EUR", PriceFault::TooLarge),
        ] {
            assert_eq!(parse_price(text, currency(code)), Err(fault), "{text:?} {code}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_round_trips(
            minor_units in 0..=i64::MAX,
            code in prop::sample::select(vec!["JPY", "EUR", "KWD"]),
            more_zeros in 0_usize..4,
        ) {
            let exponent = currency(code).exponent() as usize;
            let digits = format!("{minor_units:0width$}", width = exponent + 1);
            let (whole, decimals) = digits.split_at(digits.len() - exponent);
            let text = format!("{whole}.{decimals}{}", "0".repeat(more_zeros));
            prop_assert_eq!(parse_price(&text, currency(code)), Ok(minor_units));
        }

        #[test]
        fn any_text_is_rejected_or_a_price_of_zero_or_more(text in "\\PC{0,24}|[-0-9.,]{0,24}") {
            if let Ok(minor_units) = parse_price(&text, Currency::EUR) {
                prop_assert!(minor_units >= 0);
                prop_assert!(text.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
            }
        }
    }
}
