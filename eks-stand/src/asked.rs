//! What a request asks, and of which service: every AWS client says it in its signature's scope.

use http::request::Parts;

use crate::eks_api::EksCall;

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The service as signatures spell it: `eks`, `ec2`, `servicequotas`; empty for a request without a signature.
    pub(crate) service: String,
    /// The region of the signature.
    pub(crate) region: String,
    /// AWS's name of the operation; method and path where it has none.
    pub(crate) operation: String,
    /// The call, where it is one of EKS.
    pub(crate) eks: Option<EksCall>,
}

impl Asked {
    pub(crate) fn of(parts: &Parts, body: &[u8]) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let signed = header("authorization")
            .and_then(|value| value.split("Credential=").nth(1))
            .and_then(|rest| rest.split(',').next());
        let presigned = parameter(query.as_bytes(), "X-Amz-Credential");
        // KEY/DATE/REGION/SERVICE/aws4_request
        let scope: Vec<&str> = signed.or(presigned.as_deref()).unwrap_or_default().split('/').collect();
        let part = |index: usize| scope.get(index).copied().unwrap_or_default().trim().to_owned();
        let (region, service) = (part(2), part(3));
        let eks = if service == "eks" { EksCall::of(parts.method.as_str(), parts.uri.path()) } else { None };
        let is_form = header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let operation = eks
            .as_ref()
            .map(|call| call.operation.to_owned())
            .or_else(|| header("x-amz-target").and_then(|target| target.rsplit('.').next()).map(str::to_owned))
            .or_else(|| is_form.then(|| parameter(body, "Action")).flatten())
            .or_else(|| parameter(query.as_bytes(), "Action"))
            .unwrap_or_else(|| format!("{} {}", parts.method, parts.uri.path()));
        Self { service, region, operation, eks }
    }
}

/// One parameter of a query or a form.
pub(crate) fn parameter(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: http::request::Builder, body: &str) -> (String, String, String) {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let asked = Asked::of(&parts, body.as_bytes());
        (asked.service, asked.region, asked.operation)
    }

    fn signed(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-west-2/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    #[test]
    fn each_protocol_says_its_service_and_its_operation() {
        let of = |service: &str, operation: &str| (service.to_owned(), "us-west-2".to_owned(), operation.to_owned());
        let rest = http::Request::get("/clusters/a").header("authorization", signed("eks"));
        assert_eq!(asked(rest, ""), of("eks", "DescribeCluster"));
        let form = http::Request::post("/")
            .header("authorization", signed("ec2"))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(asked(form, "Action=DescribeVpcs&Version=2016-11-15"), of("ec2", "DescribeVpcs"));
        let json = http::Request::post("/")
            .header("authorization", signed("servicequotas"))
            .header("x-amz-target", "ServiceQuotasV20190624.GetServiceQuota");
        assert_eq!(asked(json, "{}"), of("servicequotas", "GetServiceQuota"));
        let presigned = http::Request::get(
            "/?Action=GetCallerIdentity&X-Amz-Credential=test%2F20260101%2Fus-west-2%2Fsts%2Faws4_request",
        );
        assert_eq!(asked(presigned, ""), of("sts", "GetCallerIdentity"));
        assert_eq!(asked(http::Request::get("/x"), ""), (String::new(), String::new(), "GET /x".into()));
    }
}
