//! What every request of the workbench takes beside its own: whom it is about, and who agreed.

use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Components, RefOr};

const REQUESTS: [&str; 4] = ["QueryRequest", "TransactionRequest", "OptimizeRequest", "IndexWork"];

const FIELDS: [(&str, &str); 3] = [
    ("target", "A PostgreSQL target; without it the first"),
    ("fingerprint", "Of the change that is agreed to"),
    ("typed", "The database's name, where something is gone afterwards"),
];

/// Adds them to the description of each.
pub(in crate::api) fn complete(components: &mut Components) {
    for name in REQUESTS {
        let Some(RefOr::T(Schema::Object(request))) = components.schemas.get_mut(name) else {
            continue;
        };
        for (field, about) in FIELDS {
            let text = ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .description(Some(about));
            request.properties.insert(field.to_owned(), RefOr::T(text.build().into()));
        }
    }
}
