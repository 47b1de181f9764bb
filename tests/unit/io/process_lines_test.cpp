// A program that answers line by line: what it answers, and every way of not answering.
#include <catch.hpp>

#include <lathe/io/process_lines.hpp>

using namespace lathe;
using io::line_process;

TEST_CASE("a program is asked and answers", "[process_lines]") {
    line_process upper({.command = {"sed", "-u", "y/abc/ABC/"}});
    CHECK(upper.ask("a cab") == "A CAB");
    CHECK(upper.ask("") == "");
    std::string const large(300000, 'b'); // more than the channel holds
    CHECK(upper.ask(large) == std::string(300000, 'B'));
    line_process shell({.shell = "while read line; do echo \"<$line>\"; echo noise >&2; done"});
    CHECK(shell.ask("x") == "<x>");
    CHECK(shell.ask("y") == "<y>");
}

TEST_CASE("a program that does not answer", "[process_lines]") {
    using lathe_test::contains;
    CHECK_THROWS_AS(line_process({}), option_error);
    CHECK_THROWS_AS(line_process({.command = {"a"}, .shell = "b"}), option_error);
    CHECK_THROWS_AS(line_process({.shell = "b", .timeout = -1}), option_error);
    CHECK_THROWS_AS(line_process({.command = {"/none/such"}}), io_error);

    line_process failing({.shell = "read x; echo the reason >&2; exit 3"});
    CHECK_THROWS_WITH(failing.ask("1"), contains("status 3") && contains("the reason"));
    CHECK_THROWS_AS(failing.ask("2"), io::process_error);
    line_process quiet({.shell = "read x; echo half"}); // one answer, then the end
    CHECK(quiet.ask("1") == "half");
    CHECK_THROWS_WITH(quiet.ask("2"), contains("ended without an answer"));
    line_process cut({.shell = "read x; printf 'no end of line'"});
    CHECK_THROWS_AS(cut.ask("1"), io::process_error);
    line_process slow({.shell = "sleep 100", .timeout = 0.1, .grace = 0.1});
    try {
        slow.ask("1");
        FAIL("an answer");
    } catch (io::process_error const & e) {
        CHECK(e.timed_out);
    }
    line_process endless({.shell = "read x; tr '\\0' x </dev/zero", .longest_answer = 1000});
    CHECK_THROWS_WITH(endless.ask("1"), contains("more than 1000 bytes"));
    line_process stopped({.shell = "sleep 100", .grace = 0.1}, [] { return true; });
    CHECK_THROWS_WITH(stopped.ask("1"), contains("stopped"));
    line_process killed({.shell = "read x; kill -9 $$"});
    CHECK_THROWS_WITH(killed.ask("1"), contains("signal 9"));
}
