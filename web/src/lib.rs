//! HTTP: the webhook endpoints, health and metrics, behind a server that bounds everything a client can do to it.
