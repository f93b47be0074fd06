// For tests only: bodies of chat requests, and what the parser makes of them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>

#include "gateway/api/chat/chat_request.h"

namespace quire::gateway {

// A good body with further fields put in: Body("\"n\": 2").
inline std::string Body(const std::string& fields) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "hi"}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

inline std::string WithMessages(const std::string& messages) {
  return R"({"model": "m", "messages": )" + messages + "}";
}

inline ChatRequest MustParse(const std::string& body) {
  auto result = ParseChatRequest(body);
  if (auto* error = std::get_if<http::ApiError>(&result)) {
    ADD_FAILURE() << body.substr(0, 200) << " -> " << error->message;
    return {};
  }
  return std::get<ChatRequest>(std::move(result));
}

inline http::ApiError MustRefuse(const std::string& body) {
  auto result = ParseChatRequest(body);
  if (std::holds_alternative<ChatRequest>(result)) {
    ADD_FAILURE() << "accepted: " << body.substr(0, 200);
    return {};
  }
  return std::get<http::ApiError>(std::move(result));
}

}  // namespace quire::gateway
