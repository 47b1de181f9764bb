// Where sentences end: the cases that splitters are compared by, offsets, line breaks, and what is refused.
#include <catch.hpp>

#include <lathe/io/sentences.hpp>

using namespace lathe;

namespace {

std::vector<std::string> split(std::string const & text, io::sentence_options options = {}) {
    std::vector<std::string> all;
    for (auto const & s : io::sentence_splitter{options}(text))
        all.emplace_back(s.of(text));
    return all;
}

} // namespace

TEST_CASE("prose is cut into sentences", "[sentences]") {
    io::sentence_splitter splitter;
    // Sentences with '|' between them, where the text has a space. Most are of the "golden rules" that splitters of
    // English are compared by.
    for (std::string const marked : {
             "Hello World.|My name is Jonas.",
             "What is your name?|My name is Jonas.",
             "There it is!|I found it.",
             "My name is Jonas E. Smith.",
             "Please turn to p. 55.",
             "Were Jane and co. at the party?",
             "They closed the deal with Pitt, Briggs & Co. at noon.",
             "Let's ask Jane and co.|They should know.",
             "They closed the deal with Pitt, Briggs & Co.|It closed yesterday.",
             "I can see Mt. Fuji from here.",
             "St. Michael's Church is on 5th st. near the light.",
             "That is JFK Jr.'s book.",
             "I visited the U.S.A. last year.",
             "I live in the E.U.|How about you?",
             "I have lived in the U.S. for 20 years.",
             "He left the bank at 6 P.M.|Mr. Smith then went to the store.",
             "She has $100.00 in her bag.",
             "She has $100.00.|It is in her bag.",
             "He teaches science (He previously worked for 5 years as an engineer.) at the local University.",
             "Her email is Jane.Doe@example.com.|I sent her an email.",
             "The site is: https://www.example.50.com/new-site/awesome_content.html.|Please check it out.",
             "She turned to him, \"This is great.\" she said.",
             "She turned to him, \"This is great!\" she said.",
             "She turned to him, \"This is great.\"|Held the book out to show him.",
             "\xe2\x80\x9cGo.\xe2\x80\x9d|Then he left.",
             "Hello!!|Long time no see.",
             "Hello?!|Is that you?",
             "She works at Yahoo! in the accounting department.",
             "We make a good team, you and I.|Did you see them?",
             "I never meant that....|She left the store.",
             "I wasn't really ... well, what I mean...see . . . what I'm saying, the thing is . . .|I didn't mean it.",
             "J. R. R. Tolkien and Dr. Who met Prof. Moriarty vs. Holmes.|They agreed, e.g. on tea.",
             "See Fig. 3, eq. 4 and No. 7.|It fell by 3.5 points in Dec. 2020.",
             "1. First, open the box.|2. Then close it.",
         }) {
        INFO(marked);
        auto text = marked;
        std::vector<std::string> expected{""};
        for (auto & c : text)
            if (c == '|') {
                c = ' ';
                expected.emplace_back();
            } else
                expected.back() += c;
        std::vector<std::string> found;
        for (auto const & s : splitter(text))
            found.emplace_back(s.of(text));
        CHECK(found == expected);
    }
}

TEST_CASE("offsets are those of the text", "[sentences]") {
    std::string const text = "  Caf\xc3\xa9 au lait.\t \xe2\x80\x9cOui!\xe2\x80\x9d No?  ";
    auto const all = io::sentence_splitter{}(text);
    REQUIRE(all.size() == 3);
    CHECK(all[0] == io::sentence_span{2, 14});
    CHECK(all[1].of(text) == "\xe2\x80\x9cOui!\xe2\x80\x9d");
    CHECK(all[2].of(text) == "No?");
    CHECK(split("").empty());
    CHECK(split(" \n\t\r\n ").empty());
    CHECK(split("no end") == std::vector<std::string>{"no end"});
    CHECK(split("...") == std::vector<std::string>{"..."});
}

TEST_CASE("lines are joined, empty lines divide", "[sentences]") {
    std::string const text = "A heading\n\nThe first line\nof a paragraph. Mr.\r\nSmith.\r\n\r\n  \nThe end";
    CHECK(split(text)
          == std::vector<std::string>{"A heading", "The first line\nof a paragraph.", "Mr.\r\nSmith.", "The end"});
    CHECK(split(text, {.lines_are_sentences = true})
          == std::vector<std::string>{"A heading", "The first line", "of a paragraph.", "Mr.", "Smith.", "The end"});
}

TEST_CASE("a splitter forgets the text before", "[sentences]") {
    io::sentence_splitter splitter;
    std::string const one = "One. Two.", other = "Three.";
    auto const first = splitter(one);
    CHECK(splitter(other).size() == 1);
    CHECK(splitter(one) == first);
    auto moved = std::move(splitter);
    CHECK(moved(one) == first);
}

TEST_CASE("what is no text is refused", "[sentences]") {
    io::sentence_splitter splitter;
    for (std::string const text : {"a\xff", "\xc0\x80", "\xed\xa0\x80.", "ok. \xe2\x82"}) {
        CHECK_THROWS_AS(splitter(text), format_error);
        CHECK_THROWS_WITH(splitter(text), lathe_test::contains("not UTF-8"));
    }
    // Anything that is UTF-8 is cut into parts that follow each other and leave out white space only.
    std::string odd = std::string("a\0b. C\0", 7) + "\xf0\x9f\x98\x80! \xe2\x80\xa8 ? . . ) ] \" \xef\xbf\xbf \x01.";
    for (int i = 0; i != 6; ++i)
        odd += odd + ". ";
    std::size_t at = 0;
    for (auto const & s : splitter(odd)) {
        REQUIRE(s.first >= at);
        REQUIRE(s.length != 0);
        CHECK(odd.substr(at, s.first - at).find_first_not_of(" \t\n\v\f\r") == std::string::npos);
        at = s.first + s.length;
    }
    CHECK(odd.substr(at).find_first_not_of(" \t\n\v\f\r") == std::string::npos);
}
