// Subscribes with MQTT.js over WebSocket. Prints "subscribed", then "topic payload" for each message.
// usage: mqttjs_subscribe.js URL FILTER [PROTOCOL_VERSION]
const mqtt = require('mqtt')
const [url, filter, version] = process.argv.slice(2)
const client = mqtt.connect(url, { protocolVersion: Number(version || 4), reconnectPeriod: 0 })
client.on('connect', () => client.subscribe(filter, { qos: 1 }, (error) => {
  if (error) throw error
  console.log('subscribed')
}))
client.on('message', (topic, payload) => console.log(`${topic} ${payload}`))
client.on('error', (error) => { console.log(`error ${error.message}`); process.exit(1) })
client.on('close', () => console.log('closed'))
