// Subscribes with MQTT.js over WebSocket. Prints "subscribed", then "topic payload" for each message.
// SLUICE_CA is the file of the authority that is trusted with wss://.
// usage: mqttjs_subscribe.js URL FILTER [PROTOCOL_VERSION]
const fs = require('fs')
const mqtt = require('mqtt')
const [url, filter, version] = process.argv.slice(2)
const ca = process.env.SLUICE_CA && fs.readFileSync(process.env.SLUICE_CA)
const client = mqtt.connect(url, { protocolVersion: Number(version || 4), reconnectPeriod: 0, ca })
client.on('connect', () => client.subscribe(filter, { qos: 1 }, (error) => {
  if (error) throw error
  console.log('subscribed')
}))
client.on('message', (topic, payload) => console.log(`${topic} ${payload}`))
client.on('error', (error) => { console.log(`error ${error.message}`); process.exit(1) })
client.on('close', () => console.log('closed'))
