// OpenAI's error object, the shape of every error that our servers send, but on paths that speak another
// dialect (dialect.h): as a reply's body and as the last event of a broken stream. Pure functions, any thread.
#pragma once

#include <string>

#include "base/http/reply.h"

namespace quire::http {

struct ApiError {
  int status = 500;
  std::string message = {};  // what was wrong and what to do
  std::string type = {};     // empty = the usual one of the status
  std::string param = {};    // empty = null
  std::string code = {};     // empty = null
  int retry_after_s = 0;     // 0 = no Retry-After header
};

// {"error":{"message","type","param","code"}}, one line.
std::string ErrorBody(const ApiError& error);
// A 401 also says how to authenticate.
Reply ErrorReply(const ApiError& error);

}  // namespace quire::http
