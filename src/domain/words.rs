//! Numbers as sentences write them, the same everywhere.

/// `46,201`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 key`, `46,201 keys`.
pub(crate) fn counted(n: u64, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `49.9 MB`, in the units Redis itself uses (1 MB = 1,048,576 bytes).
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n < 1_024 {
        return counted(n, "byte");
    }
    let mut value = n as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(46_201), "46,201");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(counted(1, "key"), "1 key");
        assert_eq!(counted(1_200, "key"), "1,200 keys");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(900), "900 bytes");
        assert_eq!(bytes(2_048), "2.0 kB");
        assert_eq!(bytes(52_428_800), "50.0 MB");
        assert_eq!(bytes(3 << 30), "3.0 GB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TB");
    }
}
