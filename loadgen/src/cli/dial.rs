//! The flags that say how connections are made, of every scenario.
//!
//! Never: opens a socket or a file.

use std::path::PathBuf;

use clap::Args;

use crate::client::DialOptions;

/// How connections are made.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct DialArgs {
    /// Add a header to every upgrade request
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,

    /// Add headers connection by connection: a line each, its headers separated by tabs
    #[arg(long, value_name = "FILE")]
    headers_file: Option<PathBuf>,

    /// Offer a subprotocol
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// Send a bearer token
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Send bearer tokens, a line a connection
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,

    /// Send a cookie
    #[arg(long, value_name = "NAME=VALUE")]
    cookie: Vec<String>,

    /// Send cookies, a line a connection: name=value; name=value
    #[arg(long, value_name = "FILE")]
    cookies_file: Option<PathBuf>,

    /// Connect from these addresses in turn: ADDRESS, FIRST-LAST or ADDRESS/BITS, with commas
    #[arg(long, value_name = "ADDRESSES")]
    source: Vec<String>,

    /// For wss: trust only the certificates in this PEM file, or in several
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,

    /// Offer permessage-deflate, compress what is sent and inflate what comes; every message stands alone
    #[arg(long)]
    deflate: bool,

    /// For wss: accept any certificate
    #[arg(long)]
    insecure: bool,
}

impl DialArgs {
    /// Offers one more subprotocol, unless it is offered already.
    pub(crate) fn offer(&mut self, subprotocol: &str) {
        if self
            .subprotocol
            .iter()
            .all(|offered| offered != subprotocol)
        {
            self.subprotocol.push(subprotocol.to_owned());
        }
    }

    /// The tokens, one of all connections or a file with a line for each, which are sent in another way
    /// than with the upgrade then.
    pub(crate) fn take_tokens(&mut self) -> (Option<String>, Option<PathBuf>) {
        (self.token.take(), self.tokens_file.take())
    }

    /// What they say, and the URL.
    pub(crate) fn options(&self, url: &str) -> DialOptions {
        DialOptions {
            url: url.to_owned(),
            headers: self.header.clone(),
            headers_file: self.headers_file.clone(),
            subprotocols: self.subprotocol.clone(),
            token: self.token.clone(),
            tokens_file: self.tokens_file.clone(),
            cookies: self.cookie.clone(),
            cookies_file: self.cookies_file.clone(),
            sources: self.source.clone(),
            ca: self.ca.clone(),
            insecure: self.insecure,
            deflate: self.deflate,
        }
    }
}
