"""The AWS Lambda functions: thin handlers over the same steps and service as everywhere.

Each function composes what it needs, and imports no more, because what is imported is paid for at every cold start. The
handlers of the pipeline import no web framework, no policy engine and no connector SDK.
"""
