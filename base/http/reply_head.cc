#include "base/http/reply_head.h"

#include <cstdio>
#include <ctime>

namespace quire::http {
namespace {

struct Reason {
  int status;
  const char* text;
};

constexpr Reason kReasons[] = {
    {.status = 200, .text = "OK"},
    {.status = 201, .text = "Created"},
    {.status = 204, .text = "No Content"},
    {.status = 304, .text = "Not Modified"},
    {.status = 400, .text = "Bad Request"},
    {.status = 401, .text = "Unauthorized"},
    {.status = 402, .text = "Payment Required"},
    {.status = 403, .text = "Forbidden"},
    {.status = 404, .text = "Not Found"},
    {.status = 405, .text = "Method Not Allowed"},
    {.status = 408, .text = "Request Timeout"},
    {.status = 409, .text = "Conflict"},
    {.status = 413, .text = "Content Too Large"},
    {.status = 415, .text = "Unsupported Media Type"},
    {.status = 417, .text = "Expectation Failed"},
    {.status = 422, .text = "Unprocessable Content"},
    {.status = 429, .text = "Too Many Requests"},
    {.status = 431, .text = "Request Header Fields Too Large"},
    {.status = 500, .text = "Internal Server Error"},
    {.status = 501, .text = "Not Implemented"},
    {.status = 503, .text = "Service Unavailable"},
};

const char* ReasonOf(int status) {
  for (const Reason& reason : kReasons) {
    if (reason.status == status) return reason.text;
  }
  return status < 400 ? "OK" : "Error";
}

}  // namespace

std::string HttpDate(int64_t unix_s) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = unix_s;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday], utc.tm_mday,
                kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  return text;
}

std::string ReplyHead(int status, const Headers& headers, int64_t unix_s, bool keep_alive) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + ReasonOf(status) + "\r\n";
  for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
  head += "date: " + HttpDate(unix_s) + "\r\n";
  head += keep_alive ? "\r\n" : "connection: close\r\n\r\n";
  return head;
}

}  // namespace quire::http
