"""Uses the live page in headless Chromium as a person would. Arguments: the page's address, and a folder for screenshots
if they are wanted. Prints one line for each thing that went as it should; an assertion ends it else.
"""

import json
import sys
import urllib.parse
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

address, folder = sys.argv[1], (sys.argv[2:] or [None])[0]


def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,860"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def publish(topic, payload, query="", content_type="text/plain"):
    request = urllib.request.Request(
        f"{address}/publish?topic={urllib.parse.quote(topic, safe='')}{query}",
        data=payload,
        headers={"Content-Type": content_type},
    )
    urllib.request.urlopen(request).close()


driver = browser()
wait = WebDriverWait(driver, 20)


def find(selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


def until(words, condition):
    wait.until(lambda _: condition(), words)
    print(words, flush=True)


def texts(selector):
    return driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => !e.closest('[hidden]')).map(e => e.textContent)",
        selector,
    )


def screenshot(name):
    if folder:
        driver.save_screenshot(f"{folder}/{name}.png")


def dark(is_dark):
    feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


try:
    dark(False)
    driver.get(f"{address}/#sensors/%23")
    until("connected", lambda: find("#state").text == "Connected")
    until("subscribed as the link says", lambda: texts("#subscriptions span") == ["sensors/#"])

    publish("sensors/kitchen/temp", b"21.5", "&qos=1&retain=1")
    until("a message comes live", lambda: "sensors/kitchen/temp" in texts(".topic") and "21.5" in texts(".message pre"))
    publish("other/topic", b"not for this page")

    find("#subscribe [name=topic]").clear()
    find("#subscribe [name=topic]").send_keys("lamps/+")
    find("#subscribe [name=qos]").send_keys("1")
    find("#subscribe [type=submit]").click()
    until("subscribed by hand", lambda: texts("#subscriptions li span") == ["sensors/#", "lamps/+"])
    find("#subscribe [name=topic]").clear()
    find("#subscribe [name=topic]").send_keys("a/#/b" + Keys.ENTER)
    until("a bad filter is refused in words", lambda: "not a Topic Filter" in find("#subscribe .note").text)

    find("#publish [name=topic]").send_keys("lamps/1")
    find("#publish [name=payload]").send_keys("on")
    find("#publish [name=qos]").send_keys("1")
    find("#publish [name=retain]").click()
    find("#publish [type=submit]").click()
    until("published by hand", lambda: find("#publish .note").text == "Published.")
    until("and it came back", lambda: "lamps/1" in texts(".topic") and "on" in texts(".message pre"))
    retained = urllib.request.urlopen(f"{address}/v1/topics/lamps/1").read()
    assert retained == b"on", retained
    assert "other/topic" not in texts(".topic")

    state = {"on": True, "brightness": 80, "colour": {"h": 210, "s": 40}, "scenes": ["evening", "reading", "film"]}
    publish("lamps/2", json.dumps(state).encode(), "&qos=1", "application/json")
    publish("sensors/raw", bytes([0, 255, 16, 32]), "", "application/octet-stream")
    publish("sensors/<img src=x onerror=alert(1)>", b"<script>alert(1)</script>")
    until("what is no text comes as base64", lambda: "AP8QIA==" in texts(".message pre"))
    until("markup stays text", lambda: "<script>alert(1)</script>" in texts(".message pre"))
    until("clients are counted by protocol", lambda: find('[data-protocol="websocket"] output').text == "1")
    for number in range(5):
        publish(f"sensors/room{number}/humidity", str(40 + number).encode())
    until("in the order of their coming", lambda: texts(".topic")[:5] == [f"sensors/room{n}/humidity" for n in (4, 3, 2, 1, 0)])
    driver.execute_script("document.activeElement.blur()")
    screenshot("light")
    dark(True)
    screenshot("dark")

    find("#search").send_keys("lamps/")
    until("the search hides the others", lambda: set(texts(".topic")) == {"lamps/1", "lamps/2"})
    screenshot("search")
    find("#search").clear()
    find("#search").send_keys(Keys.SPACE + Keys.BACKSPACE)
    find("#pause").click()
    publish("sensors/kitchen/temp", b"22.0")
    until("a pause holds back", lambda: "1 held back" in find("#count").text)
    find("#pause").click()
    until("and lets go", lambda: "22.0" in texts(".message pre"))
    find("#clear").click()
    until("cleared", lambda: texts(".topic") == [] and find("#empty").is_displayed())

    # The browser's own EventSource: it comes back by itself, with the last event it has.
    driver.execute_script("""
        window.heard = []
        window.events = new EventSource('/v1/subscribe?topic=es/%23&qos=1&clientid=chromium&clean=0')
        events.onmessage = (event) => heard.push([event.lastEventId, JSON.parse(event.data).payload])
    """)
    until("EventSource is open", lambda: driver.execute_script("return events.readyState") == 1)
    publish("es/1", b"one", "&qos=1")
    until("EventSource hears", lambda: driver.execute_script("return heard.map(e => e[1])") == ["one"])
    # Another stream of the same session takes over and goes; EventSource connects again.
    other = urllib.request.urlopen(f"{address}/v1/subscribe?clientid=chromium&clean=0", timeout=20)
    until("it is taken over", lambda: driver.execute_script("return events.readyState") == 0)
    other.close()
    publish("es/2", b"two", "&qos=1")
    until("it is back and has missed nothing", lambda: driver.execute_script("return heard.map(e => e[1])") == ["one", "two"])
    driver.execute_script("events.close()")

    # With the keyboard alone, from the top of the page.
    driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    seen = []
    for _ in range(20):
        driver.switch_to.active_element.send_keys(Keys.TAB) if seen else find("body").send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        seen.append(active.get_attribute("id") or active.get_attribute("name") or active.text or active.get_attribute("class"))
    assert "theme" in seen and "topic" in seen and "search" in seen and "messages" in seen, seen
    print("everything is reached with Tab", flush=True)
    find("#subscriptions li:first-child button").send_keys(Keys.ENTER)
    until("unsubscribed with the keyboard", lambda: texts("#subscriptions span") == ["lamps/+"])

    # On a phone nothing sticks out.
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    publish("lamps/2", json.dumps(state).encode(), "&qos=1", "application/json")
    publish("lamps/" + "a-long-name-" * 8, b"x" * 200)
    until("messages come on a phone", lambda: len(texts(".topic")) >= 2)
    width = driver.execute_script("return document.documentElement.scrollWidth")
    assert width <= 390, width
    small = driver.execute_script(
        "return [...document.querySelectorAll('button, input:not([type=checkbox]), select')]"
        ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 36).map(e => e.outerHTML)"
    )
    assert not small, small
    screenshot("phone-dark")
    dark(False)
    screenshot("phone")
    print("it fits a phone", flush=True)

    problems = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not problems, problems
    print("nothing in the console, and no breach of the policy", flush=True)
finally:
    driver.quit()
