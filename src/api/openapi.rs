//! The description of the service, completed with what holds for every route.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, HttpMethod, InfoBuilder, OpenApi, PathItem, Ref,
    ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::caller::least_role;
use super::problem::Problem;

const SCHEME: &str = "token";
const ABOUT: &str = "Watches Redis and PostgreSQL, explains what is wrong, proposes the least destructive fix, waits \
                     for a person, proves it. Every refusal is a `Problem`. A role may do what the roles before it \
                     may: viewer, operator, admin.";

/// Adds what no route says of itself: who may, and how a refusal looks.
pub(super) fn complete(mut described: OpenApi) -> OpenApi {
    described.info = InfoBuilder::new()
        .title("simctl")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let components = described.components.get_or_insert_with(Components::new);
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Made by `simctl token new`"))
        .build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(token));
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    super::workbench::describe::complete(components);
    super::targets::describe::spell_out(&mut described.paths);
    for (path, item) in &mut described.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(&method, path));
            finish(&method, operation);
        }
    }
    described
}

/// The operations of a path with their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Delete, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `get_incidents_id`: a handler's own name may be there twice.
fn name(method: &HttpMethod, path: &str) -> String {
    let verb = match method {
        HttpMethod::Post => "post",
        HttpMethod::Patch => "patch",
        HttpMethod::Put => "put",
        HttpMethod::Delete => "delete",
        _ => "get",
    };
    let path = path.trim_start_matches("/api/v1").replace(['{', '}'], "");
    format!("{verb}{}", path.replace(['/', '-', '.'], "_"))
}

fn finish(method: &HttpMethod, operation: &mut Operation) {
    let method = match method {
        HttpMethod::Get => axum::http::Method::GET,
        _ => axum::http::Method::POST,
    };
    let role = least_role(&method).as_str();
    operation.security.get_or_insert_with(|| vec![SecurityRequirement::new(SCHEME, [role])]);
    let problem = ResponseBuilder::new()
        .description("Why not, and what to do next")
        .content("application/problem+json", problem())
        .build();
    operation.responses.responses.insert("default".into(), problem.into());
}

fn problem() -> Content {
    let schema = Ref::from_schema_name(Problem::name());
    ContentBuilder::new().schema(Some(schema)).build()
}
