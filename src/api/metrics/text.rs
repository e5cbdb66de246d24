//! The two formats that Prometheus reads: OpenMetrics, and the older text that everything else reads too.

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// How the figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Plain,
}

impl Format {
    /// What a header Accept prefers; the older text where it does not say.
    pub(super) fn wanted(accept: &str) -> Self {
        let openmetrics = weight(accept, "application/openmetrics-text");
        let plain = weight(accept, "text/plain");
        if openmetrics > 0.0 && openmetrics >= plain { Self::OpenMetrics } else { Self::Plain }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn of(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, registry)?;
        Ok(match self {
            Self::OpenMetrics => text,
            Self::Plain => plain(&text),
        })
    }
}

/// The largest weight that is given to a media type; 0 where it is not named.
fn weight(accept: &str, media_type: &str) -> f64 {
    let weights = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(media_type);
        let given = parts.find_map(|part| part.strip_prefix("q="));
        is_it.then(|| given.map_or(Some(1.0), |weight| weight.parse::<f64>().ok())).flatten()
    });
    weights.fold(0.0, f64::max)
}

/// In the older text a counter's name ends as its sample does, and there are no units and no end mark.
fn plain(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, about)| about);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            let about = help.take().unwrap_or_default();
            text.extend([
                &*format!("# HELP {name}{ending} {about}\n"),
                &*format!("# TYPE {name}{ending} {kind}\n"),
            ]);
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heavier_of_two_formats_is_written_and_the_older_one_when_in_doubt() {
        use Format::{OpenMetrics, Plain};
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.9", Plain),
            ("application/openmetrics-text;q=0", Plain),
            ("application/openmetrics-text;q=much", Plain),
            ("*/*", Plain),
            ("", Plain),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_text_names_counters_as_their_samples_are_named() {
        let openmetrics = "# HELP a_seconds How long.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                           a_seconds_total{x=\"# EOF\"} 1\n# HELP b Which.\n# TYPE b info\nb_info{v=\"1\"} 1\n# EOF\n";
        let older = "# HELP a_seconds_total How long.\n# TYPE a_seconds_total counter\n\
                     a_seconds_total{x=\"# EOF\"} 1\n# HELP b_info Which.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n";
        assert_eq!(plain(openmetrics), older);
    }
}
