// For tests only: bodies of Messages requests, and what the parser makes of them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>

#include "gateway/api/messages/messages_request.h"

namespace quire::gateway {

// A good body with further fields put in.
inline std::string MessagesBody(const std::string& fields) {
  return R"({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

inline std::string MessagesWith(const std::string& messages) {
  return R"({"model": "m", "max_tokens": 100, "messages": )" + messages + "}";
}

inline MessagesRequest MustParseMessages(const std::string& body, MessagesUse use = MessagesUse::kAnswer) {
  auto result = ParseMessagesRequest(body, use);
  if (auto* error = std::get_if<http::ApiError>(&result)) {
    ADD_FAILURE() << body.substr(0, 300) << " -> " << error->message;
    return {};
  }
  return std::get<MessagesRequest>(std::move(result));
}

inline http::ApiError MustRefuseMessages(const std::string& body, MessagesUse use = MessagesUse::kAnswer) {
  auto result = ParseMessagesRequest(body, use);
  if (std::holds_alternative<MessagesRequest>(result)) {
    ADD_FAILURE() << "accepted: " << body.substr(0, 300);
    return {};
  }
  return std::get<http::ApiError>(std::move(result));
}

}  // namespace quire::gateway
