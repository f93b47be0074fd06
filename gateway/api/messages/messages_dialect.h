// Errors as Anthropic's API says them, on every path of this door, whoever refuses: in place of OpenAI's
// shape, with its types, and the request's id in the body and in "request-id". Pure; any thread.
#pragma once

#include <string>

#include "base/http/dialect.h"

namespace quire::gateway {

// {"type":"error","error":{"type","message"},"request_id"}, one line.
std::string MessagesErrorBody(const http::ApiError& error, const RequestId& id);

extern const http::Dialect kMessagesDialect;

}  // namespace quire::gateway
