//! Ordinary words for what a fault leaves in a server, picked by the injection's seed: a diagnosis must rest on
//! what is measured, never on a telling name.

const PREFIXES: [&str; 8] =
    ["session:", "cart:", "job:", "token:", "visit:", "order:", "profile:", "product:"];
const TABLES: [&str; 6] = ["orders", "invoices", "accounts", "shipments", "customers", "stock"];
const PROGRAMS: [&str; 6] = ["api", "worker", "checkout", "billing", "search", "mailer"];

/// Every key prefix, in the order this injection should try them; never the same one twice.
pub(super) fn prefixes(seed: u64) -> Vec<String> {
    let start = index(seed, PREFIXES.len());
    let mut words: Vec<String> =
        (0..PREFIXES.len()).map(|i| PREFIXES[(start + i) % PREFIXES.len()].to_owned()).collect();
    words.push(format!("{}{:04x}:", PREFIXES[start], seed >> 16 & 0xffff));
    words
}

/// The name of a client program as its instances are called in a cluster (`checkout-3f9a`): the second half makes
/// it this injection's own mark.
pub(super) fn program(seed: u64) -> String {
    format!("{}-{:04x}", PROGRAMS[index(seed, PROGRAMS.len())], seed >> 16 & 0xffff)
}

/// A password for this injection: nobody has it, and it is worth nothing anywhere else.
pub(super) fn secret(seed: u64) -> String {
    format!("{:016x}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17))
}

/// The name of a table as an application may have one.
pub(super) fn table(seed: u64) -> String {
    format!("{}_{:04x}", TABLES[index(seed, TABLES.len())], seed >> 16 & 0xffff)
}

fn index(seed: u64, len: usize) -> usize {
    usize::try_from(seed % len as u64).expect("a remainder of a small length fits")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_seed_has_its_own_order_of_all_prefixes() {
        for seed in 0..20_u64 {
            let words = prefixes(seed);
            assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), PREFIXES.len() + 1);
            assert!(words.iter().all(|w| w.chars().all(|c| c.is_ascii_alphanumeric() || c == ':')));
        }
        assert_ne!(prefixes(1)[0], prefixes(2)[0]);
    }

    #[test]
    fn two_injections_are_told_apart_by_their_program() {
        assert_ne!(program(0x0001_0000), program(0x0002_0000));
        assert!(!program(7).contains("simctl"));
        assert_ne!(table(0x0001_0000), table(0x0002_0000));
    }
}
