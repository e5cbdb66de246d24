//! The questions in the description: one path for each, with the arguments that its descriptor declares.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{HttpMethod, PathItem, Paths, RefOr, Required};

use crate::inspect::{self, Arg, ArgKind, Inspection};

const ANY: &str = "/api/v1/targets/{id}/inspect/{name}";

/// Puts a path for each question in the place of the one for all of them.
pub(in crate::api) fn spell_out(paths: &mut Paths) {
    let Some(any) = paths.paths.remove(ANY).and_then(|item| item.get) else { return };
    for (verb, asked) in by_verb() {
        let operation = one(&any, &asked);
        let path = ANY.replace("{name}", verb);
        paths.paths.insert(path, PathItem::new(HttpMethod::Get, operation));
    }
}

/// Two kinds of server may be asked under the same word.
fn by_verb() -> BTreeMap<&'static str, Vec<&'static Inspection>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for inspection in inspect::ALL {
        all.entry(inspection.verb).or_default().push(*inspection);
    }
    all
}

fn one(any: &Operation, asked: &[&'static Inspection]) -> Operation {
    let mut operation = any.clone();
    let about: Vec<_> = asked.iter().map(|one| format!("{}: {}", one.title, one.about)).collect();
    operation.summary = asked.first().map(|one| one.title.to_owned());
    operation.description = Some(about.join("\n\n"));
    let mut parameters = operation.parameters.take().unwrap_or_default();
    parameters.retain(|parameter| name(parameter) != Some("name"));
    for arg in asked.iter().flat_map(|one| one.args) {
        if parameters.iter().all(|known| name(known) != Some(arg.name)) {
            parameters.push(RefOr::T(parameter(arg)));
        }
    }
    operation.parameters = Some(parameters);
    operation
}

fn name(parameter: &RefOr<Parameter>) -> Option<&str> {
    match parameter {
        RefOr::T(parameter) => Some(&parameter.name),
        RefOr::Ref(_) => None,
    }
}

fn parameter(arg: &Arg) -> Parameter {
    let required = match arg.kind {
        ArgKind::Subject => Required::True,
        ArgKind::Whole { .. } | ArgKind::Text => Required::False,
    };
    ParameterBuilder::new()
        .name(arg.name)
        .parameter_in(ParameterIn::Query)
        .required(required)
        .description(Some(arg.about))
        .schema(Some(schema(arg.kind)))
        .build()
}

fn schema(kind: ArgKind) -> Schema {
    let object = match kind {
        ArgKind::Whole { default, least, most } => {
            let float = |whole: u64| whole as f64;
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::Integer))
                .default(Some(default.into()))
                .minimum(Some(float(least)))
                .maximum(Some(float(most)))
        }
        ArgKind::Text | ArgKind::Subject => ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .min_length(Some(1))
            .max_length(Some(200))
            .pattern(Some("^[^\\x00]+$")),
    };
    object.build().into()
}
