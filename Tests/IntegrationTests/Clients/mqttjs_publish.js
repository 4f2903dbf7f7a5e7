// Publishes with MQTT.js over WebSocket, back to back.
// usage: mqttjs_publish.js URL TOPIC PAYLOAD...
const mqtt = require('mqtt')
const [url, topic, ...payloads] = process.argv.slice(2)
const client = mqtt.connect(url, { protocolVersion: 5, reconnectPeriod: 0 })
let left = payloads.length
client.on('connect', () => payloads.forEach((payload) => client.publish(topic, payload, { qos: 1 }, (error) => {
  if (error) throw error
  left -= 1
  if (left === 0) client.end(false, () => console.log('published'))
})))
client.on('error', (error) => { console.log(`error ${error.message}`); process.exit(1) })
