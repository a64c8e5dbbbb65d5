//! The page of `--dev`: a push server that a person can look at. In: a GET. Out: one HTML file, and a policy
//! under which it can do nothing but talk to the server that it came from.
//!
//! The file is put together when the thread starts: `index.html` with `style.css` and the scripts in it, which
//! share one scope, in the order of [`SCRIPTS`]. The policy (CSP Level 3) admits that style and that script, by
//! their hashes.
//!
//! Never: there without `--dev`; holds a secret; refers to anything that is not in it.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::error::Refusal;

const INDEX: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPTS: [&str; 5] = [
    include_str!("session.js"),
    include_str!("channel.js"),
    include_str!("view.js"),
    include_str!("plain.js"),
    include_str!("main.js"),
];

/// What is served at `/`.
#[derive(Clone, Debug)]
pub(super) struct Page {
    html: Bytes,
    policy: HeaderValue,
}

impl Page {
    /// `api`: where the API listens, if not where the page is.
    pub(super) fn new(api: Option<SocketAddr>) -> Self {
        let script = SCRIPTS.concat();
        let port = api.map_or_else(String::new, |addr| addr.port().to_string());
        let html = INDEX
            .replace(r#"data-api-port="""#, &format!(r#"data-api-port="{port}""#))
            .replace("{style}", STYLE)
            .replace("{script}", &script);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self' ws: wss:; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source(&script),
            source(STYLE)
        );
        Self {
            html: html.into(),
            policy: HeaderValue::try_from(policy).expect("a policy is ASCII"),
        }
    }

    pub(super) fn router(self) -> Router {
        let headers: [(HeaderName, HeaderValue); 5] = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            ),
            (header::CONTENT_SECURITY_POLICY, self.policy),
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            ),
            // The next build has another page at the same place.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let html = self.html;
        let page = get(move || async move { (headers, html) })
            .fallback(|| async { Refusal::NotAllowed { allow: "GET, HEAD" } });
        Router::new().route("/", page)
    }
}

/// How a policy names an inline text.
fn source(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Method, Request, StatusCode};
    use axum::response::Response;
    use tower::ServiceExt;

    use super::*;

    async fn asked(method: Method, api: Option<SocketAddr>) -> Response {
        let request = Request::builder().method(method).uri("/");
        let router = Page::new(api).router();
        router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.into()).unwrap()
    }

    /// The one text between these.
    fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
        assert_eq!(text.matches(start).count(), 1, "{start}");
        assert_eq!(text.matches(end).count(), 1, "{end}");
        let (_, rest) = text.split_once(start).unwrap();
        rest.split_once(end).unwrap().0
    }

    #[tokio::test]
    async fn the_policy_admits_what_is_in_the_page_and_nothing_else() {
        let response = asked(Method::GET, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let html = text(response).await;
        for (start, end, directive) in [
            ("<style>", "</style>", "style-src"),
            ("<script type=\"module\">", "</script>", "script-src"),
        ] {
            let inline = between(&html, start, end);
            assert!(inline.len() > 1000, "{start}");
            let admitted = format!("{directive} '{}';", source(inline));
            assert!(policy.contains(&admitted), "{policy}: {admitted}");
        }
    }

    #[tokio::test]
    async fn the_page_refers_to_nothing_else() {
        let html = text(asked(Method::GET, None).await).await;
        for outside in [
            " src=",
            " url(",
            ":url(",
            "@import",
            "import ",
            " style=\"",
            " onclick=",
        ] {
            assert!(!html.contains(outside), "{outside}");
        }
        // The icon's namespace and the chart's, and the API's address.
        let addresses = ["http://www.w3.org/2000/svg", "http://127.0.0.1:"];
        for (at, _) in html.match_indices("http") {
            let rest = &html[at..];
            let is_address = rest.starts_with("http://") || rest.starts_with("https://");
            let is_known = addresses.iter().any(|known| rest.starts_with(known));
            assert!(!is_address || is_known, "{}", &rest[..40]);
        }
    }

    #[tokio::test]
    async fn the_page_knows_the_port_of_an_api_of_its_own() {
        let html = text(asked(Method::GET, None).await).await;
        assert!(html.contains(r#"<html lang="en" data-api-port="">"#));
        let api = "127.0.0.1:9000".parse().unwrap();
        let html = text(asked(Method::GET, Some(api)).await).await;
        assert!(html.contains(r#"<html lang="en" data-api-port="9000">"#));
    }

    #[tokio::test]
    async fn the_page_is_read_and_nothing_more() {
        let whole = asked(Method::GET, None).await;
        let head = asked(Method::HEAD, None).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(
            head.headers()["content-security-policy"],
            whole.headers()["content-security-policy"]
        );
        assert_eq!(text(head).await, "");
        let refused = asked(Method::POST, None).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()["allow"], "GET, HEAD");
    }
}
