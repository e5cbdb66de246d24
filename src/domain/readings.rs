//! The numbers of one sample by name. Hundreds are kept per target, so copies share the numbers, and samples
//! of one target share the names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A reading's name; see [`super::sample::reading`].
pub type Name = Cow<'static, str>;

/// Readings in order of their names, each name once.
#[derive(Clone, Default, PartialEq)]
pub struct Readings {
    names: Arc<[Name]>,
    /// As many as names.
    values: Arc<[f64]>,
}

impl Readings {
    /// A reading, when it was taken.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Whether nothing was taken.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Every reading, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.pairs().map(|(name, value)| (&**name, value))
    }

    /// These, with one more or one replaced.
    #[must_use]
    pub fn with(&self, name: impl Into<Name>, value: f64) -> Self {
        let all = self.pairs().map(|(known, value)| (known.clone(), value));
        all.chain([(name.into(), value)]).collect()
    }

    /// These, without one.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let rest = self.pairs().filter(|(known, _)| *known != name);
        rest.map(|(known, value)| (known.clone(), value)).collect()
    }

    /// Forgets the names for those of `other`, where they are the same.
    pub(super) fn share_names(&mut self, other: &Self) {
        if self.names == other.names {
            self.names = Arc::clone(&other.names);
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&Name, f64)> {
        self.names.iter().zip(self.values.iter().copied())
    }

    fn sorted(pairs: impl IntoIterator<Item = (Name, f64)>) -> Self {
        let (names, values): (Vec<Name>, Vec<f64>) = pairs.into_iter().unzip();
        Self { names: names.into(), values: values.into() }
    }

    /// A map of its own, for records.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        self.iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl<N: Into<Name>> FromIterator<(N, f64)> for Readings {
    /// The last of several under one name counts.
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(given: I) -> Self {
        let given: Vec<_> = given.into_iter().map(|(name, value)| (name.into(), value)).collect();
        if given.is_sorted_by(|(name, _), (next, _)| name < next) {
            return Self::sorted(given);
        }
        let by_name: BTreeMap<Name, f64> = given.into_iter().collect();
        Self::sorted(by_name)
    }
}

impl<N: Into<Name>, const COUNT: usize> From<[(N, f64); COUNT]> for Readings {
    fn from(given: [(N, f64); COUNT]) -> Self {
        given.into_iter().collect()
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Readings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Readings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(MapVisitor)
    }
}

struct MapVisitor;

impl<'de> Visitor<'de> for MapVisitor {
    type Value = Readings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of numbers by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Readings, A::Error> {
        let mut given = Vec::new();
        while let Some(entry) = map.next_entry::<String, f64>()? {
            given.push(entry);
        }
        Ok(given.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_kept_by_name_each_once_and_in_order() {
        let given = Readings::from([("keys", 1.0), ("clients", 2.0), ("keys", 3.0)]);
        let all: Vec<_> = given.iter().collect();
        assert_eq!(all, [("clients", 2.0), ("keys", 3.0)]);
        assert_eq!((given.get("keys"), given.get("key")), (Some(3.0), None));
        assert_eq!(given.without("clients"), Readings::from([("keys", 3.0)]));
        let more = given.with("keys", 4.0).with(String::from("extra"), 5.0);
        assert_eq!((more.get("keys"), more.get("extra")), (Some(4.0), Some(5.0)));
        assert!(Readings::default().is_empty() && !more.is_empty());
    }

    #[test]
    fn only_the_same_names_are_shared() {
        let before = Readings::from([("keys", 1.0)]);
        let (mut same, mut other) =
            (Readings::from([("keys", 2.0)]), Readings::from([("clients", 3.0)]));
        same.share_names(&before);
        other.share_names(&before);
        assert!(Arc::ptr_eq(&same.names, &before.names));
        assert_eq!((same.get("keys"), other.get("clients")), (Some(2.0), Some(3.0)));
    }

    #[test]
    fn their_json_is_a_plain_object_and_reads_back() {
        let given = Readings::from([("b", 0.5), ("a", 1.0)]);
        let text = serde_json::to_string(&given).unwrap();
        assert_eq!(text, r#"{"a":1.0,"b":0.5}"#);
        assert_eq!(serde_json::from_str::<Readings>(&text).unwrap(), given);
        assert_eq!(serde_json::to_string(&given.to_map()).unwrap(), text);
    }
}
