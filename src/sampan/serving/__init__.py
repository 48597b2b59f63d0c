"""Serving: requests in and answers out, routing, the prediction log's rows. Pure; the server itself is `sampan.web.inference.app`."""
