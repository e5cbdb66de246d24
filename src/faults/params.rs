//! Parameters of a fault: what was given, checked against its descriptor and completed with defaults.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Descriptor, Fault, FaultError, Param, Params};

/// Every parameter of `fault`: what was given, where it is a whole number within bounds, else its default.
pub fn complete_params(
    fault: &dyn Fault,
    given: &BTreeMap<String, Value>,
) -> Result<Params, FaultError> {
    let descriptor = fault.descriptor();
    if let Some(name) = given.keys().find(|name| descriptor.params.iter().all(|p| p.name != **name))
    {
        return Err(refused(name, unknown(descriptor)));
    }
    descriptor
        .params
        .iter()
        .map(|param| {
            let value = given.get(param.name).map_or(Ok(param.default), |v| within(param, v))?;
            Ok((param.name.to_owned(), value))
        })
        .collect()
}

fn unknown(descriptor: &Descriptor) -> String {
    if descriptor.params.is_empty() {
        return format!("{} takes no parameters", descriptor.id);
    }
    let names: Vec<&str> = descriptor.params.iter().map(|param| param.name).collect();
    format!("{} knows only: {}", descriptor.id, names.join(", "))
}

fn within(param: &Param, value: &Value) -> Result<u64, FaultError> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match number {
        Some(number) if (param.min..=param.max).contains(&number) => Ok(number),
        _ => Err(refused(
            param.name,
            format!("{value} is no whole number from {} to {}", param.min, param.max),
        )),
    }
}

fn refused(name: &str, reason: String) -> FaultError {
    FaultError::Param { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::named;
    use super::*;

    fn given(value: Value) -> BTreeMap<String, Value> {
        BTreeMap::from([("connections".to_owned(), value)])
    }

    #[test]
    fn defaults_fill_what_was_not_given() {
        let params = complete_params(named("idle-leak").unwrap(), &BTreeMap::new()).unwrap();
        assert_eq!(params["connections"], 12);
    }

    #[test]
    fn a_number_is_taken_within_its_bounds_only() {
        let fault = named("idle-leak").unwrap();
        for ok in [json!(1), json!(15), json!("7")] {
            assert!(complete_params(fault, &given(ok.clone())).is_ok(), "{ok}");
        }
        for bad in [json!(0), json!(16), json!(-1), json!(1.5), json!("many"), json!(null)] {
            let said = complete_params(fault, &given(bad.clone())).unwrap_err().to_string();
            assert!(said.contains("connections") && said.contains("from 1 to 15"), "{bad}: {said}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let unknown = BTreeMap::from([("sockets".to_owned(), json!(3))]);
        let said = complete_params(named("idle-leak").unwrap(), &unknown).unwrap_err().to_string();
        assert_eq!(said, "parameter sockets: idle-leak knows only: connections");
        let said =
            complete_params(named("container-paused").unwrap(), &unknown).unwrap_err().to_string();
        assert_eq!(said, "parameter sockets: container-paused takes no parameters");
    }
}
