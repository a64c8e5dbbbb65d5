//! The flags of `loadgen fanout` that say how publications reach the server over HTTP.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::Usage;
use crate::scenario::fanout::{BASE64_PAYLOAD, PAYLOAD};

/// Publishers over HTTP are threads.
const POSTERS_MAX: u32 = 1024;

/// How publications are posted.
#[derive(Args, Debug)]
#[command(next_help_heading = "Publishing over HTTP")]
pub(crate) struct PublishArgs {
    /// Publish with POST requests to this URL: http://HOST:PORT/PATH, {channel} stands for the channel
    #[arg(long, value_name = "URL")]
    pub(crate) publish_http: Option<String>,

    /// Add a header to these requests
    #[arg(long, value_name = "NAME: VALUE", requires = "publish_http")]
    publish_header: Vec<String>,

    /// Send this body instead of the payload: in it {channel} stands for the channel and {payload} for
    /// the payload, or {b64payload} for its base64
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "publish_http",
        conflicts_with = "binary"
    )]
    pub(crate) publish_json: Option<String>,
}

impl PublishArgs {
    /// The headers of the requests, names and values.
    pub(crate) fn headers(&self, is_binary: bool) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self
            .publish_header
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let is_type = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !headers.iter().any(is_type) {
            let value = match (&self.publish_json, is_binary) {
                (Some(_), _) => "application/json",
                (None, true) => "application/octet-stream",
                (None, false) => "text/plain",
            };
            headers.push(("Content-Type".to_owned(), value.to_owned()));
        }
        headers
    }

    /// Rules that more than one flag can break; `url` is the one given.
    pub(super) fn check(&self, url: &str, channels: u32, publishers: u32) -> Result<(), Usage> {
        let wrong = |why: &dyn std::fmt::Display| Usage(format!("--publish-http '{url}': {why}"));
        let plain = url.replace("{channel}", "channel");
        let uri: ureq::http::Uri = plain.parse().map_err(|error| wrong(&error))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err(wrong(&"it must be http://HOST:PORT/PATH"));
        }
        let template = self.publish_json.as_deref();
        let names_channel = |text: &str| text.contains("{channel}");
        if channels > 1 && !names_channel(url) && !template.is_some_and(names_channel) {
            return Err(wrong(&format_args!(
                "with --channels {channels} it or --publish-json must have {{channel}} in it"
            )));
        }
        if publishers > POSTERS_MAX {
            return Err(Usage(format!(
                "--publishers {publishers} over HTTP: {POSTERS_MAX} at most"
            )));
        }
        let payloads = |text: &str| {
            let counts = [PAYLOAD, BASE64_PAYLOAD].map(|name| text.matches(name).count());
            counts.iter().sum::<usize>()
        };
        if template.is_some_and(|text| payloads(text) != 1) {
            return Err(Usage(
                "--publish-json must have {payload} or {b64payload} in it, once".to_owned(),
            ));
        }
        for line in &self.publish_header {
            let is_header = line.split_once(':').is_some_and(|(name, value)| {
                ureq::http::HeaderName::from_bytes(name.trim().as_bytes()).is_ok()
                    && ureq::http::HeaderValue::from_str(value.trim()).is_ok()
            });
            if !is_header {
                return Err(Usage(format!(
                    "--publish-header '{line}' is no NAME: VALUE"
                )));
            }
        }
        Ok(())
    }
}
