// What a response says of its request: the fields as they were read, and of those that may be long no more
// than a bound, because it is kept as long as the answer and said up to three times. Pure; part of
// ParseResponsesRequest.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "gateway/api/responses/responses_request.h"

namespace quire::gateway {

// Of the form of the text, the instructions and the tools, as JSON. What finds no room is said as absent.
inline constexpr size_t kMaxEchoBytes = 64 << 10;

// Of a body that was read as `request`; an object as JSON, in which no reader of lines sees an end of line.
std::string ResponsesEcho(const nlohmann::ordered_json& body, const ResponsesRequest& request);

}  // namespace quire::gateway
